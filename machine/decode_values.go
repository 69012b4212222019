package machine

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/statecraft-io/statecraft/machine/marks"
	"github.com/statecraft-io/statecraft/machine/strict"
)

// dataYAML is one key of the data section as written.
type dataYAML struct {
	Type        string       `yaml:"type" enum:"any|string|integer|number|boolean|list|object" default:"any"`
	Default     *strict.Node `yaml:"default"`
	Description string       `yaml:"description"`
	Secret      bool         `yaml:"secret"`
}

var (
	keyPattern  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)
	ratePattern = regexp.MustCompile(`^([1-9][0-9]{0,6})/([smh])$`)
)

func (d *decoder) data(y map[string]dataYAML) {
	section := d.root.Get("data")
	if section == nil {
		return
	}
	for _, f := range section.Fields {
		entry := y[f.Key]
		if !keyPattern.MatchString(f.Key) {
			d.fault("SC106", f.Pos, "start with a letter or _ and use letters, digits and _ only", "%q cannot be the name of a data key", f.Key)
		}
		field := DataField{Name: f.Key, Type: ValueType(entry.Type), Description: entry.Description, Secret: entry.Secret, Pos: f.Pos}
		field.Default = d.defaultOf(&field, entry.Default)
		d.m.Data = append(d.m.Data, field)
	}
}

// defaultOf reads the default of a data key, nil where there is none or it is of another type.
func (d *decoder) defaultOf(f *DataField, n *strict.Node) any {
	if n == nil || n.Kind == strict.Null {
		return nil
	}
	value := n.Any()
	if d.m.Marked() {
		read, found := marks.Read(n)
		d.list = append(d.list, found...)
		if read.Kind != marks.Literal {
			d.fault(marks.CodeNoMark, n.Pos, "write the value itself, and set the key in a transition", "the default of %s is read with the manifest, and no expression is read there", f.Name)
			return nil
		}
		value = read.Literal
	}
	if !ofType(value, f.Type) {
		d.fault("SC107", n.Pos, defaultHint(n, f.Type), "the default of %s is not of type %s", f.Name, f.Type)
		return nil
	}
	return value
}

func ofType(value any, t ValueType) (ok bool) {
	switch t {
	case String:
		_, ok = value.(string)
	case Integer:
		_, ok = value.(int)
	case Number:
		_, whole := value.(int)
		_, fraction := value.(float64)
		ok = whole || fraction
	case Boolean:
		_, ok = value.(bool)
	case Array:
		_, ok = value.([]any)
	case Object:
		_, ok = value.(map[string]any)
	default:
		ok = true
	}
	return ok
}

func defaultHint(n *strict.Node, t ValueType) string {
	switch {
	case t == String && n.Kind == strict.Scalar:
		return "put it into quotes"
	case n.Quoted:
		return "write it without quotes, or change the type"
	default:
		return "change the default or the type"
	}
}

// brake reads max_rate: "10/s", "100/m", "5/h" or "none".
func (d *decoder) brake(s string) (Brake, Rate) {
	parts := ratePattern.FindStringSubmatch(s)
	switch {
	case s == "" && d.m.Strict():
		return BrakeDefault, DefaultRate()
	case s == "":
		return BrakeBackOff, Rate{}
	case s == "none":
		return BrakeNone, Rate{}
	case parts == nil:
		d.fault("SC105", d.m.place("max_rate"), `write it as "10/s", "100/m" or "5/h", or "none" for no limit`, "%q is not a rate", s)
		return BrakeNone, Rate{}
	}
	count, _ := strconv.Atoi(parts[1]) // the pattern admits seven digits
	return BrakeGiven, Rate{Count: count, Per: map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}[parts[2]]}
}

// backoff reads "1s..1m", or one duration for a pause that stays the same.
func backoff(s string) (from, to time.Duration, err error) {
	first, last, ranged := strings.Cut(s, "..")
	low, err := strict.ParseDuration(strings.TrimSpace(first))
	if err != nil || !ranged {
		return low.Std(), low.Std(), err
	}
	high, err := strict.ParseDuration(strings.TrimSpace(last))
	return low.Std(), high.Std(), err
}
