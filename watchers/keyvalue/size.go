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
