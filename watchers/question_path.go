package watchers

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// The bounds of a path.
const (
	maxPath      = 512 // bytes
	maxPathWords = 32
)

// Path is where a value is in a JSON document: names of members, and numbers that count the elements of a list from 0.
type Path struct {
	words []string
	count bool   // of the list's elements, in place of the list
	text  string // for gjson, below the first word
}

// ParsePath reads a path as guards write it: words that a dot separates, \. for a dot within a word, and # at the end for the number of a
// list's elements. Of what else gjson has there is nothing: a client's path must not take long.
func ParsePath(text string) (Path, error) {
	if len(text) > maxPath {
		return Path{}, fmt.Errorf("a path has %d bytes; %d is the limit", len(text), maxPath)
	}
	var words []string
	var word strings.Builder
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && i+1 < len(text):
			i++
			word.WriteByte(text[i])
		case c == '.':
			words = append(words, word.String())
			word.Reset()
		case strings.IndexByte(`*?|@{}[]()!`, c) >= 0:
			return Path{}, fmt.Errorf("the path %q has %q in it; write names with a dot between them, and %q for the character itself", brief(text), string(c), `\`+string(c))
		default:
			word.WriteByte(c)
		}
	}
	words = append(words, word.String())
	if len(words) > maxPathWords || slices.Contains(words, "") {
		return Path{}, fmt.Errorf("the path %q is no list of at most %d names with a dot between them", brief(text), maxPathWords)
	}
	if last := len(words) - 1; last > 0 && words[last] == "#" && strings.HasSuffix(text, ".#") {
		return newPath(words[:last], true), nil
	}
	return newPath(words, false), nil
}

func newPath(words []string, count bool) Path {
	escaped := make([]string, len(words))
	for i, word := range words {
		escaped[i] = gjson.Escape(word)
	}
	return Path{words: words, count: count, text: strings.Join(escaped[1:], ".")}
}

// Below is the path within a member.
func (p Path) Below(member string) Path {
	return newPath(append([]string{member}, p.words...), p.count)
}

// then is the path to a member of what the path leads to.
func (p Path) then(word string) Path { return newPath(append(slices.Clone(p.words), word), false) }

// Raw is the JSON at the path, "" where there is none. It is a part of the document.
func (p Path) Raw(document *Document) string {
	found := p.find(document)
	switch {
	case !found.Exists():
		return ""
	case !p.count:
		return found.Raw
	case !found.IsArray():
		return ""
	}
	n := 0
	found.ForEach(func(_, _ gjson.Result) bool { n++; return true })
	return strconv.Itoa(n)
}

// Value is the decoded value at the path, nil where there is none. Its numbers are as those of facts, and its texts may be parts of the
// document.
func (p Path) Value(document *Document) any {
	raw := p.Raw(document)
	if raw == "" {
		return nil
	}
	return plain(gjson.Parse(raw))
}

// plain decodes a value of a valid document that is not nested deep, in half the time of the standard library.
func plain(v gjson.Result) any {
	switch {
	case v.Type == gjson.Number:
		return plainNumber(json.Number(v.Raw))
	case v.IsObject():
		object := map[string]any{}
		v.ForEach(func(key, value gjson.Result) bool { object[key.Str] = plain(value); return true })
		return object
	case v.IsArray():
		list := []any{}
		v.ForEach(func(_, value gjson.Result) bool { list = append(list, plain(value)); return true })
		return list
	default:
		return v.Value()
	}
}

// find goes by the names as they are written, and where that leads nowhere by names in any case.
func (p Path) find(document *Document) gjson.Result {
	at := document.member(p.words[0])
	if p.text == "" || !at.Exists() {
		return at
	}
	if found := at.Get(p.text); found.Exists() {
		return found
	}
	for _, word := range p.words[1:] {
		at = step(at, word)
	}
	return at
}

// step goes to a member: the one of this name, or else the first in the alphabet that has it in another case.
func step(at gjson.Result, word string) (to gjson.Result) {
	if !at.IsObject() {
		return at.Get(gjson.Escape(word))
	}
	name := ""
	at.ForEach(func(key, value gjson.Result) bool {
		switch {
		case key.Str == word:
			name, to = word, value
			return false
		case strings.EqualFold(key.Str, word) && (name == "" || key.Str < name):
			name, to = key.Str, value
		}
		return true
	})
	return to
}
