package strict

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/statecraft-io/statecraft/machine/diag"
	"gopkg.in/yaml.v3"
)

// The bounds of a document. A manifest that a person can review is far below each of them; a machine that a program writes, of 5,000
// states with a watcher each, fits.
const (
	MaxBytes = 1 << 20
	MaxNodes = 200_000
	MaxDepth = 64
)

// Parse reads exactly one document. file is only used in positions. The node is nil when the list holds
// an error, so that nobody works with half a document.
//
// Refused are: duplicate keys, keys that are not text, anchors, aliases, merge keys, custom tags, several
// documents, an empty document, tabs as indentation, invalid UTF-8, control characters, and documents
// beyond MaxBytes, MaxNodes or MaxDepth. A byte order mark is a warning. Any input ends in bounded time.
func Parse(file string, src []byte) (*Node, diag.List) {
	p := &parser{file: file, src: src}
	root := p.parse()
	if p.list.HasErrors() {
		root = nil
	}
	return root, p.list.Sort()
}

// parser carries one call of Parse.
type parser struct {
	file  string
	src   []byte // without byte order mark once checkText is done
	list  diag.List
	nodes int
}

func (p *parser) parse() *Node {
	if !p.checkText() {
		return nil
	}
	documents, err := readDocuments(bytes.NewReader(p.src))
	if err != nil {
		p.syntax(err)
		return nil
	}
	if len(documents) > 1 {
		p.fail(CodeDocuments, p.at(documents[1]), "put each document into a file of its own",
			"there is more than one document in the file")
	}
	if len(documents) == 0 {
		p.empty(diag.Position{File: p.file})
		return nil
	}
	root := documents[0].Content[0]
	if root.Kind == yaml.ScalarNode && isNull(root.Value) && !quoted(root) {
		p.empty(p.at(root))
		return nil
	}
	return p.node(root, 1)
}

func (p *parser) empty(at diag.Position) {
	p.fail(CodeEmpty, at, `write keys, such as "name: example"`, "the document is empty")
}

// readDocuments returns at most two documents, which is enough to know that there are several. Only the
// library's tree is asked for, never Go values: the tree keeps an alias as a reference, so that a few
// bytes cannot grow into gigabytes.
//
// The library signals its own errors by panicking and recovers what it knows of; hostile input has made
// it panic in other ways before. Such an input is a document that cannot be read, not a reason to
// end the process.
func readDocuments(r io.Reader) (documents []*yaml.Node, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("the document cannot be read (%v)", v)
		}
	}()
	decoder := yaml.NewDecoder(r)
	for len(documents) < 2 {
		var document yaml.Node
		err := decoder.Decode(&document)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		documents = append(documents, &document)
	}
	return documents, nil
}

func (p *parser) at(n *yaml.Node) diag.Position {
	return diag.Position{File: p.file, Line: n.Line, Column: n.Column}
}

func (p *parser) fail(code diag.Code, at diag.Position, hint, format string, args ...any) {
	p.list.Add(diag.Error, code, at, hint, format, args...)
}
