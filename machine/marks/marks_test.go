package marks

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSplit(t *testing.T) {
	mark := func(text string) Piece { return Piece{Text: text, Mark: true} }
	lit := func(text string) Piece { return Piece{Text: text} }
	for text, want := range map[string][]Piece{
		"":                              nil,
		"plain } text {x} $ $HOME":      {lit("plain } text {x} $ $HOME")},
		"${ data.a }":                   {mark("data.a")},
		"${data.a}":                     {mark("data.a")},
		"a ${ data.a }/${ x }":          {lit("a "), mark("data.a"), lit("/"), mark("x")},
		"${a}${b}":                      {mark("a"), mark("b")},
		"$${HOME}":                      {lit("${HOME}")},
		"$$${a}":                        {lit("$${a}")},
		"$$ ${a}":                       {lit("$$ "), mark("a")},
		`${ {"a": "}"}["a"] }`:          {mark(`{"a": "}"}["a"]`)},
		`${ {a: {b: 1}}.a.b }!`:         {mark(`{a: {b: 1}}.a.b`), lit("!")},
		`${ '\'}' }`:                    {mark(`'\'}'`)},
		"${ `}``}` }":                   {mark("`}``}`")},
		"${ a // }\n }":                 {mark("a // }")},
		"${ a /* } */ + 1 }":            {mark("a /* } */ + 1")},
		"${ \"${\" }HOME}":              {mark(`"${"`), lit("HOME}")},
		"${ filter(data.l, {# > 1}) }é": {mark("filter(data.l, {# > 1})"), lit("é")},
	} {
		got, err := Split(text)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%q: %v (-want +got):\n%s", text, err, diff)
		}
	}
}

func TestSplitRefuses(t *testing.T) {
	for text, want := range map[string]error{
		"${":                    ErrOpen,
		"a ${ data.a":           ErrOpen,
		"${ {a: 1 }":            ErrOpen,
		"${}":                   ErrEmpty,
		"${   }":                ErrEmpty,
		`${ "a }`:               ErrString,
		"${ 'a\\' }":            ErrString,
		"${ ` }":                ErrString,
		"${ a /* }":             ErrOpen,
		"${ a // }":             ErrOpen,
		"good ${ a } and ${ b ": ErrOpen,
	} {
		if _, err := Split(text); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", text, err, want)
		} else if Mend(err) == "" {
			t.Errorf("%q: no mend", text)
		}
	}
}

func TestWhole(t *testing.T) {
	for text, want := range map[string]string{"${ a }": "a", "${ {a: 1} }": "{a: 1}", "${a} ": "", " ${a}": "", "${a}${b}": "", "$${a}": "", "a": "", "${": ""} {
		got, is := Whole(text)
		if got != want || is != (want != "") {
			t.Errorf("%q: %q, %t", text, got, is)
		}
	}
}

func TestMark(t *testing.T) {
	for expression, want := range map[string]string{
		"a":                       "${ a }",
		`"http://" + data.host`:   `${ "http://" + data.host }`,
		"'x//' + `//` /* // */":   "${ 'x//' + `//` /* // */ }",
		"a // why":                "${ a // why\n}",
		"a + // }\n 'b'":          "${ a + // }\n 'b'\n}",
		`"\"//" + 'it\'s // one'`: `${ "\"//" + 'it\'s // one' }`,
	} {
		got := Mark(expression)
		if bare, whole := Whole(got); got != want || !whole || bare != expression {
			t.Errorf("%s: %q, of which %q is read", expression, got, bare)
		}
	}
}

func TestIsTemplate(t *testing.T) {
	for text, want := range map[string]bool{
		`{{ lookup "data.a" "" }}`: true, "a {{.Dir}} b": true, "{{": false, "}} {{": false, `${ "{{" }}}`: false, "${ {a: {b: 1}} }": false, "a": false, "${ ": false,
	} {
		if got := IsTemplate(text); got != want {
			t.Errorf("%q: %t", text, got)
		}
	}
}

func FuzzSplit(f *testing.F) {
	for _, seed := range []string{"${ data.a }", "$${", "a$${ x }${ {a: '}'} }", "$$$", "${ `a``}` }$", "${ a // }\n }", "${", "${}", `${"\"}"}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		pieces, err := Split(text)
		if err != nil {
			if !Has(text) {
				t.Errorf("%q: %v, and it has no mark", text, err)
			}
			return
		}
		marked := false
		for i, p := range pieces {
			marked = marked || p.Mark
			if p.Text == "" || i > 0 && !p.Mark && !pieces[i-1].Mark {
				t.Errorf("%q: pieces %v", text, pieces)
			}
		}
		if marked != Has(text) {
			t.Errorf("%q: Has says %t", text, Has(text))
		}
		back, err := Split(Write(pieces))
		if err != nil || !cmp.Equal(joined(back), joined(pieces)) {
			t.Errorf("%q: written as %q, which is read as %v, %v", text, Write(pieces), back, err)
		}
		literal, err := Split(Quote(text))
		if err != nil || len(literal) > 1 || text != "" && (literal[0].Mark || literal[0].Text != text) {
			t.Errorf("%q: quoted it is %v, %v", text, literal, err)
		}
	})
}

// joined is what pieces are in a text; a mark that gives $ is how Write has a $ in front of a mark.
func joined(pieces []Piece) string {
	var b strings.Builder
	for _, p := range pieces {
		switch {
		case p.Mark && p.Text == `"$"`:
			b.WriteString("$")
		case p.Mark:
			b.WriteString("\x00" + p.Text + "\x00")
		default:
			b.WriteString(p.Text)
		}
	}
	return b.String()
}
