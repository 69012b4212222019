package watchers

import (
	"errors"
	"testing"
)

func TestAmbiguous(t *testing.T) {
	for body, want := range map[string]bool{
		`{}`: false, `[]`: false, `7`: false, `"a: b"`: false, `a: b`: false, `{"a": {"a": {"a": 1}}}`: false, `{"A": 1, "b": 2}`: false,
		`{"a": 1, "a": 1}`: true, `[{"K": 1, "\u212a": 2}]`: true, `{"é": 1, "É": 2}`: true, `{"a:": ":", "b\\": "\":"}`: false,
	} {
		if got := Ambiguous([]byte(body), readOrText(body)); got != want {
			t.Errorf("%s: %t", body, got)
		}
	}
}

// readOrText reads a body as listeners do.
func readOrText(body string) any {
	v, err := ReadJSON([]byte(body), 60)
	if err != nil {
		return body
	}
	return v
}

// TestBadInputReadersTakeItAlike has bodies that one reader takes for something else than the next.
func TestBadInputReadersTakeItAlike(t *testing.T) {
	for body, want := range map[string]error{
		`{"a": 1, "b": [1.5e3, -0.25, 1e-400, "\u00e9\ud83d\ude00\\u0000\n", "1e400"]}`: nil, `plain text`: nil, ``: nil, `[12345678901234567890]`: nil,
		`{"a": 1, "a": 2}`: ErrAmbiguous, `{"a": {"b": 1, "B": 2}}`: ErrAmbiguous,
		`{"a": "\u0000"}`: errNUL, `{"\u0000": 1}`: errNUL, "plain\x00text": errNUL,
		"{\"a\": \"\xff\"}": errNotUTF8, "\xfe": errNotUTF8,
		`{"a": "\ud800"}`: errSurrogate, `{"a": "\ud800x"}`: errSurrogate, `{"a": "\udc00\ud800"}`: errSurrogate, `{"a": "\ud800\u0061"}`: errSurrogate,
		`{"a": 1e400}`: errRange, `[-1E400]`: errRange, `{"a": {"b": [1, 1e999]}}`: errRange,
	} {
		if err := Alike([]byte(body), readOrText(body)); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", body, err, want)
		}
	}
	for body, want := range map[string]error{`{"a": 1, "A": 2}`: nil, `{"a": 1, "a": 2}`: ErrAmbiguous, `{"a": 1e400}`: errRange} {
		if err := AlikeButForCase([]byte(body), readOrText(body)); !errors.Is(err, want) {
			t.Errorf("but for case, %q: %v, want %v", body, err, want)
		}
	}
}
