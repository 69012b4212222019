package diag

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPosition(t *testing.T) {
	for want, p := range map[string]Position{
		"":           {},
		"a.yaml":     {File: "a.yaml"},
		"a.yaml:3":   {File: "a.yaml", Line: 3},
		"a.yaml:3:7": {File: "a.yaml", Line: 3, Column: 7},
	} {
		if got := p.String(); got != want {
			t.Errorf("%+v renders as %q, want %q", p, got, want)
		}
	}
}

func TestDiagnosticText(t *testing.T) {
	at := Position{File: "a.yaml", Line: 3, Column: 7}
	for want, d := range map[string]Diagnostic{
		"a.yaml:3:7: SC001 broken":          {Position: at, Code: "SC001", Message: "broken"},
		"a.yaml:3:7: SC001 warning: broken": {Position: at, Severity: Warning, Code: "SC001", Message: "broken"},
		"a.yaml:3:7: SC001 note: broken":    {Position: at, Severity: Note, Code: "SC001", Message: "broken"},
		"a.yaml: SC002 broken":              {Position: Position{File: "a.yaml"}, Code: "SC002", Message: "broken"},
		"SC002 broken":                      {Code: "SC002", Message: "broken"},
		"SC002 note: broken":                {Severity: Note, Code: "SC002", Message: "broken"},
	} {
		if got := d.String(); got != want {
			t.Errorf("renders as %q, want %q", got, want)
		}
	}
}

func TestListIsAnErrorWhenItHoldsOne(t *testing.T) {
	at := Position{File: "a.yaml", Line: 3, Column: 7}
	var list List
	if list.HasErrors() || list.Err() != nil || list.Error() != "" {
		t.Errorf("an empty list: %v", list.Err())
	}
	list.Add(Warning, "SC001", at, "", "odd")
	list.Add(Note, "SC002", at, "", "fine")
	if list.HasErrors() || list.Err() != nil {
		t.Errorf("a list without errors: %v", list.Err())
	}
	list.Add(Error, "SC003", at, "write %d", "%q has %d", "a", 3)
	if !list.HasErrors() {
		t.Error("a list with an error has none")
	}
	err := fmt.Errorf("load: %w", list.Err())
	var got List
	if !errors.As(err, &got) || len(got) != 3 {
		t.Errorf("the list is not in %v", err)
	}
	const want = "a.yaml:3:7: SC001 warning: odd\n" +
		"a.yaml:3:7: SC002 note: fine\n" +
		"a.yaml:3:7: SC003 \"a\" has 3\n" +
		"  hint: write %d"
	if diff := cmp.Diff(want, list.Error()); diff != "" {
		t.Errorf("text (-want +got):\n%s", diff)
	}
}

func TestSort(t *testing.T) {
	d := func(file string, line, column int, code Code, message string) Diagnostic {
		return Diagnostic{Position: Position{file, line, column}, Code: code, Message: message}
	}
	want := List{
		d("a", 0, 0, "SC009", "x"), d("a", 1, 2, "SC001", "x"), d("a", 1, 10, "SC001", "x"), d("a", 1, 10, "SC002", "a"), d("a", 1, 10, "SC002", "b"),
		d("a", 10, 1, "SC001", "x"), d("b", 1, 1, "SC001", "x"),
	}
	hinted := want[0]
	hinted.Hint = "h"
	want = append(List{want[0], hinted}, want[1:]...)
	given := List{want[7], want[0], want[5], want[1], want[4], want[0], want[3], want[6], want[2], want[1], want[7]}
	if diff := cmp.Diff(want, given.Sort()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := List(nil).Sort(); len(got) != 0 {
		t.Errorf("nothing sorts to %v", got)
	}
}

func TestJSON(t *testing.T) {
	got, err := json.Marshal(List{
		{Position: Position{"a.yaml", 3, 7}, Code: "SC001", Message: "broken", Hint: "mend it"},
		{Position: Position{File: "a.yaml"}, Severity: Warning, Code: "SC002", Message: "odd"},
		{Severity: Note, Code: "SC003"},
	})
	if err != nil {
		t.Fatal(err)
	}
	const want = `[{"file":"a.yaml","line":3,"column":7,"severity":"error","code":"SC001","message":"broken","hint":"mend it"},` +
		`{"file":"a.yaml","line":0,"column":0,"severity":"warning","code":"SC002","message":"odd"},` +
		`{"file":"","line":0,"column":0,"severity":"note","code":"SC003","message":""}]`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
