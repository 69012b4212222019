package strict

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/statecraft-io/statecraft/machine/diag"
	"pgregory.net/rapid"
)

type mode string

// everything has a field of each sort that Decode fills.
type everything struct {
	Text     string              `yaml:"text"`
	Kind     mode                `yaml:"kind" enum:"poll|watch" default:"poll"`
	Flag     bool                `yaml:"flag"`
	Port     int                 `yaml:"port" alias:"port_number,p" min:"1" max:"65535"`
	Small    int8                `yaml:"small"`
	Big      int64               `yaml:"big"`
	Count    uint16              `yaml:"count" max:"1000"`
	Ratio    float64             `yaml:"ratio" min:"0" max:"1.5"`
	Interval Duration            `yaml:"interval" default:"10s" min:"500ms" max:"1d"`
	Timeout  time.Duration       `yaml:"timeout"`
	List     []string            `yaml:"list"`
	Modes    []mode              `yaml:"modes" enum:"poll|watch"`
	Numbers  []int               `yaml:"numbers" min:"1"`
	Labels   map[string]string   `yaml:"labels"`
	After    map[mode]Duration   `yaml:"after"`
	Groups   map[string][]string `yaml:"groups"`
	Maybe    *bool               `yaml:"maybe"`
	Preset   *int                `yaml:"preset" default:"7"`
	Nested   inner               `yaml:"nested"`
	Inners   []inner             `yaml:"inners"`
	Pointer  *inner              `yaml:"pointer"`
	Value    any                 `yaml:"value"`
	Raw      *Node               `yaml:"raw"`
	Rate     rate                `yaml:"rate" default:"1/s"`
	RateAt   *rate               `yaml:"rate_at"`
	Rates    []rate              `yaml:"rates"`
	Template string              `yaml:"template" enum:"a|b"`
	shared   `yaml:",inline"`
	Ignored  string
	Hidden   string `yaml:"-"`
}

type shared struct {
	Governor string `yaml:"governor"`
}

type inner struct {
	Name string `yaml:"name,required"`
	Size int    `yaml:"size" default:"3"`
}

// rate reads itself, from text only.
type rate struct{ Count, Per string }

func (r *rate) UnmarshalNode(n *Node, _ Options) (list diag.List) {
	count, per, ok := strings.Cut(n.Value, "/")
	if !ok {
		list.Add(diag.Error, "SC900", n.Pos, "write 10/s", "%q is not a rate", n.Value)
	}
	r.Count, r.Per = count, per
	return list
}

func decode(t *testing.T, src string, target any, opts Options) diag.List {
	t.Helper()
	n, list := Parse("f.yaml", []byte(src))
	if err := list.Err(); err != nil {
		t.Fatalf("%q: %v", src, err)
	}
	return Decode(n, target, opts)
}

func ptr[T any](v T) *T { return &v }

// defaults is what an everything holds when nothing is written.
func defaults() everything {
	return everything{Kind: "poll", Interval: Duration(10 * time.Second), Preset: ptr(7), Rate: rate{"1", "s"}}
}

func TestDecode(t *testing.T) {
	for _, tc := range []struct {
		src  string
		want func(*everything)
	}{
		{"text: hello", func(e *everything) { e.Text = "hello" }},
		{"text: 1.0", func(e *everything) { e.Text = "1.0" }},
		{"text: 0x10", func(e *everything) { e.Text = "0x10" }},
		{"text: true", func(e *everything) { e.Text = "true" }},
		{"text: on", func(e *everything) { e.Text = "on" }},
		{"text: '~'", func(e *everything) { e.Text = "~" }},
		{"text: |\n  a\n  b\n", func(e *everything) { e.Text = "a\nb\n" }},
		{"kind: watch", func(e *everything) { e.Kind = "watch" }},
		{"flag: True", func(e *everything) { e.Flag = true }},
		{`flag: "true"`, func(e *everything) { e.Flag = true }},
		{"port: 8080", func(e *everything) { e.Port = 8080 }},
		{`port: "8080"`, func(e *everything) { e.Port = 8080 }},
		{"port: 0x50", func(e *everything) { e.Port = 80 }},
		{"port: +80", func(e *everything) { e.Port = 80 }},
		{"port_number: 1", func(e *everything) { e.Port = 1 }},
		{"p: 65535", func(e *everything) { e.Port = 65535 }},
		{"small: -128", func(e *everything) { e.Small = -128 }},
		{"big: 9223372036854775807", func(e *everything) { e.Big = 9223372036854775807 }},
		{"count: +1000", func(e *everything) { e.Count = 1000 }},
		{"ratio: 1.5", func(e *everything) { e.Ratio = 1.5 }},
		{`ratio: "1"`, func(e *everything) { e.Ratio = 1 }},
		{"interval: 1h30m", func(e *everything) { e.Interval = Duration(90 * time.Minute) }},
		{"interval: 500ms", func(e *everything) { e.Interval = Duration(500 * time.Millisecond) }},
		{"timeout: 2d", func(e *everything) { e.Timeout = 48 * time.Hour }},
		{"timeout: 0", func(*everything) {}},
		{`list: [a, 1, true, on, ""]`, func(e *everything) { e.List = []string{"a", "1", "true", "on", ""} }},
		{"list: []", func(e *everything) { e.List = []string{} }},
		{"modes: [watch, poll]", func(e *everything) { e.Modes = []mode{"watch", "poll"} }},
		{"numbers: [1, '2']", func(e *everything) { e.Numbers = []int{1, 2} }},
		{`labels: {a: 1, b: "", on: off}`, func(e *everything) { e.Labels = map[string]string{"a": "1", "b": "", "on": "off"} }},
		{"after: {x: 1m}", func(e *everything) { e.After = map[mode]Duration{"x": Duration(time.Minute)} }},
		{"groups: {x: [a]}", func(e *everything) { e.Groups = map[string][]string{"x": {"a"}} }},
		{"maybe: false", func(e *everything) { e.Maybe = ptr(false) }},
		{"preset: 8", func(e *everything) { e.Preset = ptr(8) }},
		{"nested: {name: a}", func(e *everything) { e.Nested = inner{"a", 3} }},
		{"inners: [{name: a, size: 4}, {name: b}]", func(e *everything) { e.Inners = []inner{{"a", 4}, {"b", 3}} }},
		{"pointer: {name: a}", func(e *everything) { e.Pointer = &inner{"a", 3} }},
		{"value: {a: [1, 1.5, x, null]}", func(e *everything) { e.Value = map[string]any{"a": []any{1, 1.5, "x", nil}} }},
		{`value: ""`, func(e *everything) { e.Value = "" }},
		{"value: 0", func(e *everything) { e.Value = 0 }},
		{"value:", func(*everything) {}},
		{"rate: 10/m", func(e *everything) { e.Rate = rate{"10", "m"} }},
		{"rate_at: 10/m", func(e *everything) { e.RateAt = &rate{"10", "m"} }},
		{"rates: [1/s, 2/s]", func(e *everything) { e.Rates = []rate{{"1", "s"}, {"2", "s"}} }},
		{"template: a", func(e *everything) { e.Template = "a" }},
		{"governor: g", func(e *everything) { e.Governor = "g" }},
	} {
		got, want := everything{}, defaults()
		tc.want(&want)
		if list := decode(t, tc.src, &got, Options{}); len(list) > 0 {
			t.Errorf("%q: %v", tc.src, list)
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(everything{})); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tc.src, diff)
		}
	}
}

// Choria's users write optional properties as empty texts.
func TestEmptyIsNotWritten(t *testing.T) {
	for _, f := range Fields(everything{}) {
		if f.Type == "any" && f.Name != "rate" {
			continue
		}
		for _, empty := range []string{"", " ~", ` ""`, " null"} {
			var got everything
			if list := decode(t, f.Name+":"+empty, &got, Options{}); len(list) > 0 {
				t.Errorf("%s:%s gave %v", f.Name, empty, list)
			}
			if diff := cmp.Diff(defaults(), got, cmp.AllowUnexported(everything{})); diff != "" {
				t.Errorf("%s:%s (-want +got):\n%s", f.Name, empty, diff)
			}
		}
	}
}

func TestRawNode(t *testing.T) {
	for src, want := range map[string]*Node{
		"raw: {a: 1}": {Kind: Mapping}, "raw:": {Kind: Null}, `raw: ""`: {Kind: Scalar, Quoted: true}, "raw: 1": {Kind: Scalar, Value: "1"}, "text: a": nil,
	} {
		var got everything
		if list := decode(t, src, &got, Options{}); len(list) > 0 {
			t.Errorf("%q: %v", src, list)
		}
		if (got.Raw == nil) != (want == nil) || want != nil && (got.Raw.Kind != want.Kind || got.Raw.Quoted != want.Quoted || got.Raw.Value != want.Value) {
			t.Errorf("%q is %+v, want %+v", src, got.Raw, want)
		}
	}
}

func TestPresetValuesStay(t *testing.T) {
	got := everything{Text: "before", Kind: "watch", Ignored: "x", Hidden: "y"}
	if list := decode(t, "flag: true", &got, Options{}); len(list) > 0 {
		t.Fatal(list)
	}
	if got.Text != "before" || got.Kind != "poll" || got.Ignored != "x" || got.Hidden != "y" {
		t.Errorf("got %+v; only a default replaces what was there", got)
	}
}

func TestNoMapping(t *testing.T) {
	at := diag.Position{File: "f.yaml", Line: 7, Column: 3}
	for _, n := range []*Node{nil, {Kind: Null, Pos: at}} {
		var got inner
		list := Decode(n, &got, Options{})
		if len(list) != 1 || list[0].Code != CodeMissingKey || got.Size != 3 {
			t.Errorf("findings %v, target %+v", list, got)
		}
		if n != nil && list[0].Position != at {
			t.Errorf("place is %v", list[0].Position)
		}
	}
	var items []string
	if list := decode(t, "[a, b]", &items, Options{}); len(list) > 0 || len(items) != 2 {
		t.Errorf("a list by itself: %v, %v", items, list)
	}
	var own rate
	if list := decode(t, "3/s", &own, Options{}); len(list) > 0 || own.Count != "3" {
		t.Errorf("a type that reads itself: %v, %v", own, list)
	}
}

func TestWrongTargetsPanic(t *testing.T) {
	n := &Node{Kind: Mapping, Fields: []Field{{Key: "a", Value: &Node{Kind: Scalar, Value: "1"}}}}
	for name, target := range map[string]any{
		"nothing":       nil,
		"a value":       inner{},
		"a nil pointer": (*inner)(nil),
		"wrong default": &struct {
			B int `yaml:"b" default:"x"`
		}{},
		"default beyond": &struct {
			B int `yaml:"b" default:"5" max:"4"`
		}{},
		"wrong bound": &struct {
			A int `yaml:"a" min:"x"`
		}{},
		"channel": &struct {
			A chan int `yaml:"a"`
		}{},
		"function list": &struct {
			A []func() `yaml:"a"`
		}{},
		"unexported": &struct {
			a int `yaml:"a"`
		}{},
		"twice": &struct {
			A int `yaml:"a"`
			B int `yaml:"b" alias:"a"`
		}{},
		"interface": &struct {
			A Unmarshaler `yaml:"a"`
		}{},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			Decode(n, target, Options{})
		})
	}
}

// Whatever the document, Decode must not panic, and place every finding inside of it.
func TestDecodeAnything(t *testing.T) {
	var keys []string
	for _, f := range Fields(everything{}) {
		keys = append(keys, f.Name)
	}
	leaf := rapid.SampledFrom([]string{"~", `""`, "1", "-1", "99999999999999999999", "1.5", "true", "on", "10s", "poll", "'{{ x }}'", "[]", "{}", "[~]", "{a: ~}", "[[1]]", "{name: [x]}", "[{name: 1, x: 2}]", "'\\n'"})
	rapid.Check(t, func(t *rapid.T) {
		var src strings.Builder
		for _, key := range rapid.SliceOfDistinct(rapid.SampledFrom(append(keys, "p", "nmae", "kinds")), rapid.ID).Draw(t, "keys") {
			src.WriteString(key + ": " + leaf.Draw(t, "value") + "\n")
		}
		n, list := Parse("f.yaml", []byte(src.String()))
		if list.HasErrors() {
			return
		}
		var target everything
		for _, d := range Decode(n, &target, Options{Unknown: diag.Warning}) {
			if d.File != "f.yaml" || d.Line < 1 || d.Column < 1 || d.Hint == "" || (d.Severity == diag.Warning) != (d.Code == CodeUnknownKey) {
				t.Fatalf("%q: finding %+v", src.String(), d)
			}
		}
	})
}
