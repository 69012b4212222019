package watchers

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

type strictly struct {
	Key   string            `json:"key" most:"4"`
	Bytes []byte            `json:"bytes,omitempty" most:"3"`
	List  []string          `json:"list" most:"2" each:"3"`
	Map   map[string]string `json:"map" most:"1" each:"3"`
	N     int               `json:"n"`
	At    *time.Time        `json:"at"`
	In    struct {
		Waits []time.Duration `json:"waits" most:"1"`
	} `json:"in"`
}

// TestBadInputOfRequestsReadInGo has every field of a request exceed its bounds, and what readers take for different things.
func TestBadInputOfRequestsReadInGo(t *testing.T) {
	good := `{"key": "abcd", "bytes": "AAAA", "list": ["abc", ""], "map": {"a": "abc"}, "n": -1, "at": "2026-01-02T03:04:05Z", "in": {"waits": [1]}, "later": {"x": 1e3}}`
	var q strictly
	if err := ReadRequest([]byte(good), &q); err != nil || q.Key != "abcd" || q.Map["a"] != "abc" || q.At.Year() != 2026 || q.In.Waits[0] != 1 {
		t.Errorf("%+v, %v", q, err)
	}
	if err := ReadWholeRequest([]byte(good), &strictly{}); err == nil || !strings.Contains(err.Error(), "later") {
		t.Errorf("a field that is not there: %v", err)
	}
	for body, says := range map[string]string{
		`{"key": "abcde"}`: "field key", `{"bytes": "AAAAAA=="}`: "field bytes", `{"list": ["", "", ""]}`: "field list", `{"list": ["abcd"]}`: "field list has a text",
		`{"map": {"a": "", "b": ""}}`: "field map", `{"map": {"abcd": ""}}`: "field map has a text", `{"map": {"a": "abcd"}}`: "field map has a text",
		`{"in": {"waits": [1, 2]}}`: "field waits", `{"key": "a", "key": "b"}`: "twice", `{"key": "a", "KEY": "b"}`: "twice", `{"later": {"a": 1, "a": 1}}`: "twice",
		`{"key": "\u0000"}`: "NUL", "{\"key\": \"\xff\"}": "UTF-8", `{"later": 1e400}`: "1e400", `{"n": 1e400}`: "1e400", `{"n": 0.5}`: "n", `{"n": "1"}`: "n", `{"key": 1}`: "key",
		`{} {}`: "", `[]`: "no JSON object", `null`: "no JSON object", `"x"`: "no JSON object", ``: "", `{`: "", strings.Repeat(`{"a":`, 100): "nested deeper", `{"key": "\ud800"}`: "surrogate",
	} {
		if err := ReadRequest([]byte(body), &strictly{}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%.60s: %v, want %q", body, err, says)
		}
	}
}

// TestRequestsReadInGoHaveBounds reads nothing into a struct with a field that could be as long as its sender likes.
func TestRequestsReadInGoHaveBounds(t *testing.T) {
	for _, to := range []any{
		&struct{ A string }{}, &struct{ A []int }{}, &struct{ A any }{},
		&struct {
			A []string `most:"1"`
		}{},
		&struct {
			A map[string]bool `most:"1"`
		}{},
		&struct{ A struct{ B []byte } }{},
	} {
		if err := ReadRequest([]byte(`{}`), to); err == nil || !strings.Contains(err.Error(), "no bound") {
			t.Errorf("%T: %v", to, err)
		}
	}
	if err := Unbounded(reflect.TypeFor[strictly]()); err != nil {
		t.Error(err)
	}
	if errors.Is(ReadRequest([]byte(`[]`), &strictly{}), nil) {
		t.Error("a list is a request")
	}
}
