package watchers

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestMatch(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "there")
	if err := os.WriteFile(file, []byte("x"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	look := &Look{
		Identity: "web1.example.net",
		Facts:    mustFacts(t, `{"os":{"family":"debian","major":12},"roles":["web","db"],"empty":null,"virtual":false}`),
	}
	for text, want := range map[string]Matched{
		"": Yes, "true": Yes, "false": No,
		`identity('^web')`: Yes, `identity('^db')`: No, `identity('(')`: Unknown,
		`identity("` + strings.Repeat("a", maxPattern+1) + `")`: Unknown,
		`get_fact('os.family') == 'debian'`:                     Yes, `get_fact('os.family') == 'redhat'`: No,
		`get_fact('os.nothing') == 'debian'`: Unknown, `get_fact('os.nothing') != 'debian'`: Unknown, `!(get_fact('none') == 1)`: Unknown,
		`get_fact('none', 'x') == 'x'`: Yes, `get_fact('empty') == nil`: Yes, `get_fact('roles.#') == 2`: Yes,
		`facts.os.family == "debian" && facts.os.major >= 12`: Yes, `facts.os.family == "redhat"`: No, `facts["os"]["family"] == "debian"`: Yes,
		`facts.none == "x"`: Unknown, `facts.os.none == "x"`: Unknown, `facts.none.deep == "x"`: Unknown, `facts.os.family.deep == 1`: Unknown,
		`facts?.none == nil`: Yes, `(facts?.none ?? "x") == "x"`: Yes, `facts?.os?.none == nil`: Yes, `facts.empty == nil`: Yes,
		`"web" in facts.roles`: Yes, `any(facts.roles, # == "db")`: Yes, `facts.roles[0] == "web" && facts.roles[-1] == "db"`: Yes, `facts.roles[7] == "web"`: Unknown,
		`let os = facts.os; os.none == "x"`: Unknown, `any([facts.os], .none == "x")`: Unknown, `any([facts.os], .major == 12)`: Yes,
		`facts.os.major > "x"`: Unknown, `facts.virtual`: No, `facts.os.family`: Unknown,
		`has_file("` + file + `")`: Yes, `has_file("` + dir + `")`: No, `has_file("` + file + `x")`: No,
		`has_directory("` + dir + `")`: Yes, `has_directory("` + file + `")`: No,
		`has_command("there")`: Yes, `has_command("nothere")`: No, `has_command("` + file + `")`: Yes,
		`identity("^web") && has_command("there") && get_fact("os.family") == "debian"`: Yes,
		`identity("^web") || facts.none == 1`:                                           Yes, `identity("^db") && facts.none == 1`: No,
		`all(1..200, has_file("/"))`: No, `all(1..200, !has_file("/"))`: Unknown, // after a hundred probes
		`all(1..1000, all(1..1000, identity("x") || true))`: Unknown,
	} {
		m, err := CompileMatch(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		got, err := m.For(t.Context(), look)
		if got != want {
			t.Errorf("%s is %s (%v), want %s", text, got, err, want)
		}
		if (err != nil) != (got == Unknown) {
			t.Errorf("%s is %s: %v", text, got, err)
		}
	}
}

func TestMatchThatCannotBe(t *testing.T) {
	for _, text := range []string{
		"identity", "identity('a') +", "1", "'text'", "data.a", "get_fact()", "has_file(1)", "now() > now()", "nothing('x')", "#member(facts, 'a', true)",
		strings.Repeat("identity('a') && ", 2000) + "true",
	} {
		if m, err := CompileMatch(text); err == nil || m != nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%.40s: %v", text, err)
		}
	}
}

// TestMatchForIdentity: who is not the node knows its name, and neither its facts nor its files.
func TestMatchForIdentity(t *testing.T) {
	for text, want := range map[string]Matched{
		"": Yes, "identity('^web')": Yes, "identity('^db')": No, "identity('^db') && has_command('sh')": No, "identity('^web') || facts.os == 'x'": Yes,
		"has_file('/etc/passwd')": Unknown, "has_directory('/')": Unknown, "has_command('sh')": Unknown, "get_fact('a', 'b') == 'b'": Unknown, "facts?.os == nil": Unknown,
		"facts.os == 'linux'": Unknown, "identity('^web') && get_fact('a') == 1": Unknown, "identity('(')": Unknown,
	} {
		m, err := CompileMatch(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := m.ForIdentity("web1"); got != want {
			t.Errorf("%s is %s, not %s", text, got, want)
		}
	}
}

func TestMatchEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	m, err := CompileMatch(`all(1..90000, true)`)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if got, err := m.For(ctx, &Look{}); got != Unknown || err == nil {
		t.Errorf("it is %s, %v", got, err)
	}
	t.Log(time.Since(began))
}

func FuzzMatch(f *testing.F) {
	for _, seed := range []string{`identity("^web")`, `facts.a.b == 1`, `facts?.a ?? 2 == 2`, `get_fact("a", 1) == 1`, `any(facts.l, #.x)`, `facts[0]`, `has_file("/")`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		m, err := CompileMatch(text)
		if err != nil {
			return
		}
		facts, err := NewFacts([]byte(`{"a":{"b":1},"l":[1,{"x":true}]}`))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := m.For(t.Context(), &Look{Facts: facts}); (got == Unknown) != (err != nil) {
			t.Errorf("%q is %s: %v", text, got, err)
		}
	})
}
