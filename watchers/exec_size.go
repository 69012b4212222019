package watchers

import (
	"math"
	"strconv"
	"strings"

	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/strict"
)

// sizeUnits are powers of two only: what the kernel counts, and what nobody reads in two ways.
var sizeUnits = []struct {
	name  string
	bytes uint64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40}}

// readSize reads a number of bytes with a unit, or without one. Text that is not written is 0, or the default that
// Decode has put there.
func readSize(n *strict.Node, text string, least, most uint64, list *diag.List) uint64 {
	if text == "" {
		return 0
	}
	size, ok := parseSize(text)
	switch {
	case !ok:
		list.Add(diag.Error, CodeExecSize, n.Pos, "write a number of bytes with KiB, MiB or GiB, such as 64MiB", "%q is not a size", text)
	case size < least || size > most:
		list.Add(diag.Error, CodeExecSize, n.Pos, "write a size from "+sizeText(least)+" to "+sizeText(most), "%q is out of range", text)
	}
	return size
}

func parseSize(text string) (uint64, bool) {
	unit := uint64(1)
	for _, u := range sizeUnits {
		if digits, found := strings.CutSuffix(text, u.name); found {
			text, unit = strings.TrimSpace(digits), u.bytes
			break
		}
	}
	number, err := strconv.ParseUint(text, 10, 64)
	if err != nil || number > math.MaxUint64/unit {
		return 0, false
	}
	return number * unit, true
}

// sizeText renders a size in the largest unit that divides it.
func sizeText(size uint64) string {
	text := strconv.FormatUint(size, 10)
	for _, u := range sizeUnits {
		if size%u.bytes == 0 && size > 0 {
			text = strconv.FormatUint(size/u.bytes, 10) + u.name
		}
	}
	return text
}
