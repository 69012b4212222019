package machine

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/strict"
)

// Release is this program's release, which a manifest's `requires` is held against: MAJOR.MINOR.PATCH of Semantic Versioning. It is a constant of the source, as
// builds that are no release have no version; the first change after a release that lets manifests say more raises it.
const Release = "0.2.0"

// firstToRead is the first release that reads a format, where that is not every one.
var firstToRead = map[int]release{2: {0, 2}}

// Requirement is which releases of the program can run something; the zero Requirement is met by all.
type Requirement struct {
	text        string
	from, below release // below is zero where there is no bound
}

// release is major, minor and patch.
type release [3]uint64

var (
	requirementForm = regexp.MustCompile(`^>= ?(` + releaseForm + `)(?:, ?< ?(` + releaseForm + `))?$`)
	releasePattern  = regexp.MustCompile(`^v?` + releaseForm + `$`)
)

// releaseForm is one to three numbers of at most six digits; those that are left out are 0.
const releaseForm = `[0-9]{1,6}(?:\.[0-9]{1,6}){0,2}`

// ParseRequirement reads `>=0.2` or `>=0.2, <1`.
func ParseRequirement(text string) (Requirement, error) {
	found := requirementForm.FindStringSubmatch(text)
	if found == nil {
		return Requirement{}, fmt.Errorf(`%q is no requirement: write it as ">=0.2", or as ">=0.2, <1"`, diag.Brief(text, 60))
	}
	r := Requirement{text: text, from: readRelease(found[1]), below: readRelease(found[2])}
	if found[2] != "" && slices.Compare(r.from[:], r.below[:]) >= 0 {
		return Requirement{}, fmt.Errorf("%q is met by no release", text)
	}
	return r, nil
}

// String is the requirement as one would write it.
func (r Requirement) String() string { return r.text }

// reading is the requirement of a manifest of a format, which no release before the first that reads the format meets. This release meets r.
func (r Requirement) reading(format int) Requirement {
	first := firstToRead[format]
	if slices.Compare(r.from[:], first[:]) >= 0 {
		return r
	}
	r.from, r.text = first, ">="+first.String()
	if r.below != (release{}) {
		r.text += ", <" + r.below.String()
	}
	return r
}

// Met reports whether a release meets the requirement. A text that is no release meets none but the zero one.
func (r Requirement) Met(text string) bool {
	if r.text == "" {
		return true
	}
	if !releasePattern.MatchString(text) {
		return false
	}
	of := readRelease(strings.TrimPrefix(text, "v"))
	return slices.Compare(of[:], r.from[:]) >= 0 && (r.below == release{} || slices.Compare(of[:], r.below[:]) < 0)
}

// String is the release without the zeros at its end.
func (r release) String() string {
	return strings.TrimSuffix(strings.TrimSuffix(fmt.Sprintf("%d.%d.%d", r[0], r[1], r[2]), ".0"), ".0")
}

// readRelease reads what has the form of a release.
func readRelease(text string) (r release) {
	for i, number := range strings.SplitN(text, ".", len(r)) {
		r[i], _ = strconv.ParseUint(number, 10, 64) // at most six digits
	}
	return r
}

const codeOtherRelease = diag.Code("SC119")

// TooOld reports whether a manifest was refused because it is written for another release of the program.
func TooOld(list diag.List) bool {
	return slices.ContainsFunc(list, func(d diag.Diagnostic) bool { return d.Code == codeOtherRelease || d.Code == "SC103" })
}

// tooOld holds the program against what a manifest requires, before anything else of the manifest is read: what a later release added would
// only be called unknown.
func tooOld(root *strict.Node) (list diag.List) {
	n := root.Get("requires")
	if n == nil || n.Kind != strict.Scalar {
		return nil
	}
	r, err := ParseRequirement(n.Value)
	if err != nil || r.Met(Release) {
		return nil
	}
	missed, next := "too_old", "upgrade statecraft where this is to run"
	if of := readRelease(Release); slices.Compare(of[:], r.from[:]) >= 0 {
		missed, next = "too_new", fmt.Sprintf("run it by a release below %s, or have its author say that it runs with this one, too", r.below)
	}
	list.Add(diag.Error, codeOtherRelease, n.Pos, next+"; statecraft version prints the release",
		"%s: this program is of release %s, and the manifest requires %s", missed, Release, r)
	return list
}

// requires reads what the manifest requires of the program, by the key and by its format.
func (d *decoder) requires(n *strict.Node) {
	var r Requirement
	var err error
	if n != nil && n.Kind != strict.Null {
		if r, err = ParseRequirement(n.Value); err != nil {
			d.fault("SC111", n.Pos, `write it as requires: ">=0.2", with the quotes`, "requires: %v", err)
			return
		}
	}
	d.m.Requires = r.reading(d.m.Format)
}
