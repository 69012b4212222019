package statecraft_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// callbacks are the functions and methods that take something to call on another goroutine, with the place of it among their arguments; -1 is
// the last one.
var callbacks = map[string]int{
	"Go": 0, "AfterFunc": -1,
	"Subscribe": -1, "QueueSubscribe": -1, "Consume": 0, "HandlerFunc": 0, "AddEndpoint": 1, "WithPublishAsyncErrHandler": 0, "WithPublishAsyncAckHandler": 0, "ConsumeErrHandler": 0,
	"ConnectHandler": 0, "ReconnectHandler": 0, "DisconnectErrHandler": 0, "DisconnectHandler": 0, "ReconnectErrHandler": 0, "ErrorHandler": 0,
	"ClosedHandler": 0, "DiscoveredServersHandler": 0, "LameDuckModeHandler": 0, "SetClosedHandler": 0, "TokenHandler": 0, "UserJWT": 0,
	"CustomReconnectDelay": 0, "Nkey": 1,
}

// fields are the same as fields of structs.
var fields = []string{"ErrorHandler", "DoneHandler", "StatsHandler", "AsyncErrorCB", "ClosedCB", "DisconnectedErrCB", "ReconnectedCB"}

// TestH61WatchersStartNothingUnsupervised refuses what could end the host by a panic: goroutines that are not started by supervise.Go, and
// callbacks that do not begin with defer supervise.Recover(ctx).
func TestH61WatchersStartNothingUnsupervised(t *testing.T) {
	packages := map[string]map[string][]byte{} // by directory and path
	sources(t, func(path string, content []byte) {
		dir := filepath.ToSlash(filepath.Dir(path))
		if !within(dir, "watchers") && !within(dir, "registry") || strings.HasSuffix(path, "_test.go") ||
			dir == "watchers/supervise" || dir == "watchers/conformance" { // the one that may, and one for tests
			return
		}
		if packages[dir] == nil {
			packages[dir] = map[string][]byte{}
		}
		packages[dir][path] = content
	}, ".go")
	for _, files := range packages {
		for _, found := range unsupervised(t, files) {
			t.Error(found)
		}
	}
}

// TestH61TheRuleFindsWhatItIsFor holds the rule against samples, so that it cannot pass because it sees nothing.
func TestH61TheRuleFindsWhatItIsFor(t *testing.T) {
	for sample, refused := range map[string]bool{
		`go f()`:                       true,
		`go func() {}()`:               true,
		`supervise.Go(ctx, f)`:         false,
		`wg.Go(f)`:                     true,
		`wg.Go(guarded)`:               false,
		`wg.Go(x.guarded)`:             false,
		`wg.Go(func() { f() })`:        true,
		`time.AfterFunc(d, func() {})`: true,
		`time.AfterFunc(d, func() { defer supervise.Recover(ctx); f() })`: false,
		`nc.Subscribe(s, f)`:                               true,
		`nc.Subscribe(s, param)`:                           true,
		`nc.QueueSubscribe(s, q, func(*nats.Msg) { f() })`: true,
		`nc.QueueSubscribe(s, q, func(*nats.Msg) { defer supervise.Recover(ctx); f() })`: false,
		`c.Consume(func(jetstream.Msg) { f(); defer supervise.Recover(ctx) })`:           true,
		`s.AddEndpoint("a", handler)`:                                                                 true,
		`s.AddEndpoint("a", micro.HandlerFunc(func(micro.Request) {}))`:                               true,
		`s.AddEndpoint("a", micro.HandlerFunc(func(micro.Request) { defer supervise.Recover(ctx) }))`: false,
		`nats.Connect(u, nats.ClosedHandler(x.f))`:                                                    true,
		`nats.Connect(u, nats.ClosedHandler(x.guarded))`:                                              false,
		`_ = micro.Config{ErrorHandler: f}`:                                                           true,
		`_ = micro.Config{ErrorHandler: guarded}`:                                                     false,
	} {
		text := "package sample\nfunc f() {}\nfunc guarded() { defer supervise.Recover(ctx); f() }\nfunc start() {\n" + sample + "\n}\n"
		found := unsupervised(t, map[string][]byte{"sample.go": []byte(text)})
		if refused != (len(found) == 1) {
			t.Errorf("%s: found %v", sample, found)
		}
	}
}

// unsupervised names what the files of one package start without supervision.
func unsupervised(t *testing.T, content map[string][]byte) (found []string) {
	t.Helper()
	set := token.NewFileSet()
	var files []*ast.File
	guarded := map[string]bool{} // functions and methods by their name
	for path, text := range content {
		file, err := parser.ParseFile(set, path, text, parser.SkipObjectResolution)
		if err != nil {
			t.Fatalf("parsing %s: %v", path, err)
		}
		files = append(files, file)
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok {
				before, seen := guarded[f.Name.Name]
				guarded[f.Name.Name] = beginsGuarded(f.Body) && (before || !seen)
			}
		}
	}
	refuse := func(n ast.Node, format string, args ...any) {
		found = append(found, fmt.Sprintf("%s: ", set.Position(n.Pos()))+fmt.Sprintf(format, args...))
	}
	for _, file := range files {
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				refuse(n, "a panic there ends the host; start it by supervise.Go(ctx, f)")
			case *ast.CallExpr:
				name, callback := registered(n)
				if callback != nil && !isGuarded(callback, guarded) {
					refuse(n, "a panic in what %s calls ends the host; let it begin with defer supervise.Recover(ctx)", name)
				}
			case *ast.KeyValueExpr:
				if key, ok := n.Key.(*ast.Ident); ok && slices.Contains(fields, key.Name) && !isGuarded(n.Value, guarded) {
					refuse(n, "a panic in %s ends the host; let it begin with defer supervise.Recover(ctx)", key.Name)
				}
			}
			return true
		})
	}
	return found
}

// registered is the callback of a call that registers one.
func registered(c *ast.CallExpr) (name string, callback ast.Expr) {
	s, ok := c.Fun.(*ast.SelectorExpr)
	if !ok {
		return "", nil
	}
	at, ok := callbacks[s.Sel.Name]
	if x, named := s.X.(*ast.Ident); !ok || named && x.Name == "supervise" || len(c.Args) == 0 {
		return "", nil
	}
	if at < 0 {
		at = len(c.Args) - 1
	}
	return s.Sel.Name, c.Args[min(at, len(c.Args)-1)]
}

// isGuarded reports whether what is registered begins with a guard: a literal, a function of the same package, or a conversion of one.
func isGuarded(e ast.Expr, guarded map[string]bool) bool {
	switch e := e.(type) {
	case *ast.FuncLit:
		return beginsGuarded(e.Body)
	case *ast.Ident:
		return guarded[e.Name]
	case *ast.SelectorExpr:
		return guarded[e.Sel.Name]
	case *ast.CallExpr: // a conversion such as micro.HandlerFunc(f), which is looked at by itself
		_, callback := registered(e)
		return callback != nil
	}
	return false
}

func beginsGuarded(body *ast.BlockStmt) bool {
	if body == nil || len(body.List) == 0 {
		return false
	}
	d, ok := body.List[0].(*ast.DeferStmt)
	if !ok {
		return false
	}
	s, ok := d.Call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	x, ok := s.X.(*ast.Ident)
	return ok && x.Name == "supervise" && s.Sel.Name == "Recover"
}
