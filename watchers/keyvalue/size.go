package keyvalue

import (
	"math"
	"strconv"
	"strings"

	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/strict"
)

// size is a number of bytes, 0 for no bound. It is written with KiB, MiB, GiB or TiB, or without a unit.
type size int64

// UnmarshalNode implements strict.Unmarshaler.
func (s *size) UnmarshalNode(n *strict.Node, _ strict.Options) (list diag.List) {
	bytes, ok := int64(0), false
	if n.Kind == strict.Scalar {
		bytes, ok = parseSize(n.Value)
	}
	if !ok {
		list.Add(diag.Error, CodeSize, n.Pos, "write a number of bytes with KiB, MiB, GiB or TiB, such as 512MiB", "%q is not a size", n.Value)
	}
	*s = size(bytes)
	return list
}

// allotment bounds the bytes of something: a size, or a share of what the smallest broker of the cell may keep in all; 0 for no bound.
type allotment struct {
	bytes   int64
	percent int64 // 1 to 100; bytes is 0 then until it is known what it comes to
}

// UnmarshalNode implements strict.Unmarshaler.
func (a *allotment) UnmarshalNode(n *strict.Node, _ strict.Options) (list diag.List) {
	text, share := strings.CutSuffix(n.Value, "%")
	var ok bool
	switch {
	case n.Kind != strict.Scalar:
	case share:
		var err error
		a.percent, err = strconv.ParseInt(text, 10, 64)
		ok = err == nil && a.percent >= 1 && a.percent <= 100
	default:
		a.bytes, ok = parseSize(n.Value)
	}
	if !ok {
		list.Add(diag.Error, CodeSize, n.Pos, "write bytes with KiB, MiB, GiB or TiB, such as 512MiB, or 1% to 100% of what a broker may keep",
			"%q is neither a size nor a share", n.Value)
	}
	return list
}

// of returns what an allotment comes to where a broker may keep so many bytes.
func (a allotment) of(room int64) allotment {
	if a.percent > 0 {
		a.bytes = max(1, room/100*a.percent+room%100*a.percent/100)
	}
	return a
}

func parseSize(text string) (int64, bool) {
	unit := int64(1)
	for i, name := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if digits, found := strings.CutSuffix(text, name); found {
			text, unit = strings.TrimSpace(digits), 1<<(10*(i+1))
		}
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 || n > math.MaxInt64/unit {
		return 0, false
	}
	return n * unit, true
}
