package watchers

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"time"
)

// deepestRequest is how deep the brackets of a request may nest.
const deepestRequest = 60

// ReadRequest reads a request, one JSON object, into a struct, for services that read theirs in Go. All who read the request read the same (Alike), and every field
// is within its bounds, which its tags say: most:"253", for a text or bytes the number of bytes, for a list or mapping that of elements, and each:"64" for
// the bytes of its texts. A number, a boolean and a time need none. A struct with a field that has no bounds reads nothing. Fields that the struct does
// not have are passed over, as a later release may have them.
func ReadRequest(text []byte, to any) error { return readRequest(text, to, false) }

// ReadWholeRequest is ReadRequest, but for fields that the struct does not have: it refuses them.
func ReadWholeRequest(text []byte, to any) error { return readRequest(text, to, true) }

func readRequest(text []byte, to any, whole bool) error {
	if err := Unbounded(reflect.TypeOf(to).Elem()); err != nil {
		return err
	}
	v, err := ReadJSON(text, deepestRequest)
	if err != nil {
		return err
	}
	if _, ok := v.(map[string]any); !ok {
		return errNoObject
	}
	if err := Alike(text, v); err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	if whole {
		d.DisallowUnknownFields()
	}
	if err := d.Decode(to); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the request")
	}
	return bounded(reflect.ValueOf(to).Elem())
}

// Unbounded reports the first field of a struct, or of one in it, that a request could make as long as it likes.
func Unbounded(of reflect.Type) error {
	for i := range of.NumField() {
		f := of.Field(i)
		t := f.Type
		if t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		most, each := f.Tag.Get("most"), f.Tag.Get("each")
		switch {
		case t == reflect.TypeFor[time.Time]():
		case t.Kind() == reflect.Struct:
			if err := Unbounded(t); err != nil {
				return err
			}
		case !sized(t):
		case most == "":
			return fmt.Errorf("the field %s of %s has no bound: give it the tag most", f.Name, of)
		case holdsTexts(t) && each == "":
			return fmt.Errorf("the texts of the field %s of %s have no bound: give it the tag each", f.Name, of)
		}
	}
	return nil
}

// sized reports whether a value of a type can be long.
func sized(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Bool, reflect.Int, reflect.Int64, reflect.Uint64, reflect.Float64:
		return false
	default:
		return true
	}
}

// holdsTexts reports whether a type is a list or mapping of what can be long itself.
func holdsTexts(t reflect.Type) bool {
	return t.Kind() == reflect.Map || t.Kind() == reflect.Slice && sized(t.Elem()) && t.Elem().Kind() != reflect.Uint8
}

// bounded holds the fields of a struct to their bounds.
func bounded(v reflect.Value) error {
	for i := range v.NumField() {
		f, value := v.Type().Field(i), v.Field(i)
		if value.Kind() == reflect.Pointer {
			value = value.Elem() // of a time, or nothing
		}
		if !value.IsValid() || value.Type() == reflect.TypeFor[time.Time]() {
			continue
		}
		if value.Kind() == reflect.Struct {
			if err := bounded(value); err != nil {
				return err
			}
			continue
		}
		if most := bound(f, "most"); sized(value.Type()) && value.Len() > most {
			return fmt.Errorf("the field %s is longer than %d", jsonName(f), most)
		}
		if holdsTexts(value.Type()) {
			if err := boundedTexts(f, value); err != nil {
				return err
			}
		}
	}
	return nil
}

// boundedTexts holds the texts of a list or mapping to their bound.
func boundedTexts(f reflect.StructField, value reflect.Value) error {
	each := bound(f, "each")
	long := func(v reflect.Value) bool { return sized(v.Type()) && v.Len() > each }
	tooLong := fmt.Errorf("the field %s has a text that is longer than %d", jsonName(f), each)
	if value.Kind() == reflect.Slice {
		for i := range value.Len() {
			if long(value.Index(i)) {
				return tooLong
			}
		}
		return nil
	}
	for at := value.MapRange(); at.Next(); {
		if long(at.Key()) || long(at.Value()) {
			return tooLong
		}
	}
	return nil
}

func bound(f reflect.StructField, tag string) int {
	n, _ := strconv.Atoi(f.Tag.Get(tag)) // nothing fits where it is no number
	return n
}

// jsonName is what a field is called in a request.
func jsonName(f reflect.StructField) string {
	name, _, _ := bytes.Cut([]byte(f.Tag.Get("json")), []byte(","))
	return string(name)
}
