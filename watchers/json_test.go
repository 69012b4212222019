package watchers

import (
	"math"
	"reflect"
	"strings"
	"testing"
)

func TestReadJSON(t *testing.T) {
	for text, want := range map[string]any{
		`null`: nil, `true`: true, `"a"`: "a", `7`: 7, `-0`: 0, `-0.0`: 0, `1e3`: 1000, `3.0`: 3, `2.5`: 2.5, `1e300`: 1e300, `1e999`: "1e999",
		`9007199254740991`: 9007199254740991, `9007199254740992`: 9007199254740992, `9007199254740993`: 9007199254740993,
		`-9007199254740993`: -9007199254740993, `9223372036854775807`: math.MaxInt, `9223372036854775808`: "9223372036854775808", `9.3e18`: 9.3e18, `-9223372036854775808`: math.MinInt,
		` {"a": [1, {"b": 9007199254740993}, 1e999]} `: map[string]any{"a": []any{1, map[string]any{"b": 9007199254740993}, "1e999"}},
		`[]`: []any{}, `{"a": 1, "a": 2}`: map[string]any{"a": 2}, `"[[[\"[["`: `[[["[[`,
	} {
		if got, err := ReadJSON([]byte(text), 4); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s is read as %#v, %v, want %#v", text, got, err, want)
		}
	}
}

func TestReadJSONRefuses(t *testing.T) {
	for _, text := range []string{``, ` `, `{`, `1 2`, `{} x`, `{} {`, `1e999 2`, `tru`, `[[[[[]]]]]`, `{"a":[[[[1]]]]}`, `'a'`} {
		if v, err := ReadJSON([]byte(text), 4); err == nil {
			t.Errorf("%s is read as %#v", text, v)
		}
	}
}

// FuzzReadJSON holds the quick way against the exact one, and that what was read is read again as it is.
func FuzzReadJSON(f *testing.F) {
	for _, seed := range []string{`{"a":[1,2.5,null]}`, `{"a": "b", "c" :"<d>"}`, `{"a":"b","a":"c"}`, `{"a":"b"},`, "{\"a\":\"\x01é\"}", `{"a":"\n"}`, `[[["`, `1e999`, `9007199254740993`, `{"a":1}{"b":2}`, `-0`, strings.Repeat("[", 100)} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		v, err := ReadJSON(text, 64)
		exact, exactErr := readExactly(text)
		if jsonDepth(text) > 64 {
			if err == nil {
				t.Fatal("it nests too deep and is read")
			}
			return
		}
		if (err == nil) != (exactErr == nil) || !reflect.DeepEqual(v, exact) {
			t.Fatalf("read as %#v, %v, exactly %#v, %v", v, err, exact, exactErr)
		}
		if err != nil {
			return
		}
		if quick, err := ReadJSONText(string(text), 64); err != nil || !reflect.DeepEqual(quick, v) {
			t.Fatalf("%#v is read quickly as %#v, %v", v, quick, err)
		}
		encoded, err := WriteJSON(v)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := ReadJSON([]byte(encoded), 64); err != nil || !reflect.DeepEqual(again, v) {
			t.Fatalf("%#v is read again as %#v, %v", v, again, err)
		}
	})
}

// BenchmarkReadJSON reads an event.
func BenchmarkReadJSON(b *testing.B) {
	text := []byte(`{"specversion":"1.0","id":"5c2f8a3e-2b0e-4c51-9a3c-5ed60a7f1f60","source":"io.choria.machine","type":"io.choria.machine.v1.transition",
		"subject":"n1.example","time":"2026-11-22T10:00:00Z","datacontenttype":"application/json","sequence":"12","data":{"protocol":
		"io.choria.machine.v1.transition","identity":"n1.example","timestamp":1795341600,"machine":"enrollment","from_state":"confirming","to_state":"active"}}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ReadJSON(text, 64); err != nil {
			b.Fatal(err)
		}
	}
}
