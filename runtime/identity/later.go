package identity

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

// A token of a later release may say more than this one knows. Claims that are unknown are passed over, but for those that the claim `crit` names,
// and the limits of an issuer: who does not know a limit would take more from the issuer than it was given (ADR 34).

// unsupported names what the claims ask for that this release does not know, as ErrUnsupported; nil where there is nothing.
func (w *wire) unsupported() error {
	var names []string
	for _, name := range w.Critical {
		if !slices.Contains(namesOf(reflect.TypeFor[wire]()), name) {
			names = append(names, name)
		}
	}
	if w.Limits != nil {
		for _, name := range w.Limits.unknown {
			names = append(names, "limits."+name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return unsupported("it asks for %s", shorten(strings.Join(names, ", ")))
}

// headers refuses a header by which a token asks for another reading of itself (RFC 7515, section 4.1.11).
func headers(t *jwt.Token) error {
	for _, name := range slices.Sorted(maps.Keys(t.Header)) {
		if strings.EqualFold(name, "crit") || strings.EqualFold(name, "b64") {
			return unsupported("its header asks for %s", shorten(fmt.Sprint(name, " ", t.Header[name])))
		}
	}
	return nil
}

func unsupported(format string, args ...any) error {
	return fmt.Errorf("%w: %s, which this release does not know; upgrade it", ErrUnsupported, fmt.Sprintf(format, args...))
}

// UnmarshalJSON reads limits, and notes those that are unknown.
func (l *wireLimits) UnmarshalJSON(text []byte) error {
	type plain wireLimits
	var all map[string]json.RawMessage
	if err := json.Unmarshal(text, &all); err != nil {
		return err
	}
	known := namesOf(reflect.TypeFor[wireLimits]())
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if !slices.Contains(known, name) {
			l.unknown = append(l.unknown, name)
		}
	}
	return json.Unmarshal(text, (*plain)(l))
}

// namesOf are the names that the fields of a structure have as JSON, with those of structures in it that have no name.
func namesOf(t reflect.Type) (names []string) {
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			names = append(names, namesOf(f.Type)...)
		} else if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && name != "-" {
			names = append(names, name)
		}
	}
	return names
}
