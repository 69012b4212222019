package archivetest

import (
	"archive/tar"
	"bytes"
	"slices"
	"strings"
)

// Attack is an archive that must not be unpacked.
type Attack struct {
	Name    string
	Archive []byte
	Because string // what the error says
}

// Attacks are archives that would escape, mislead or exhaust whoever unpacks them.
func Attacks() []Attack { return append(Small(), exhausting()...) }

// Small are those of Attacks that are made at once.
func Small() []Attack {
	return slices.Concat(escapes(), kinds(), spellings(), records(), broken())
}

func file(name string) Entry { return Entry{Name: Root + "/" + name, Body: "x"} }

func escapes() []Attack {
	const down = "a path goes down"
	return []Attack{
		{"dot dot", TarGz(Entry{Name: "../evil", Body: "x"}), down},
		{"dot dot inside", TarGz(file("../../evil")), down},
		{"dot dot that stays", TarGz(file("a/../b")), down},
		{"absolute", TarGz(Entry{Name: "/evil", Body: "x"}), down},
		{"empty word", TarGz(file("a//b")), down},
		{"symlink", TarGz(Entry{Name: Root + "/up", Type: tar.TypeSymlink, Link: "../.."}, file("up/evil")), "no links or devices"},
		{"absolute symlink", TarGz(Entry{Name: Root + "/etc", Type: tar.TypeSymlink, Link: "/etc"}), "no links or devices"},
		{"hardlink", TarGz(Entry{Name: Root + "/passwd", Type: tar.TypeLink, Link: "/etc/passwd"}), "no links or devices"},
		{"hardlink inside", TarGz(file("a"), Entry{Name: Root + "/b", Type: tar.TypeLink, Link: Root + "/a"}), "no links or devices"},
	}
}

func kinds() []Attack {
	return []Attack{
		{"character device", TarGz(Entry{Name: Root + "/tty", Type: tar.TypeChar}), "no links or devices"},
		{"block device", TarGz(Entry{Name: Root + "/sda", Type: tar.TypeBlock}), "no links or devices"},
		{"pipe", TarGz(Entry{Name: Root + "/pipe", Type: tar.TypeFifo}), "no links or devices"},
		{"setuid", TarGz(Entry{Name: Root + "/su", Mode: 0o4755, Body: "x"}), "setuid"},
		{"setgid", TarGz(Entry{Name: Root + "/sg", Mode: 0o2755, Body: "x"}), "setuid"},
	}
}

func spellings() []Attack {
	const same, text = "case does not count", "printable"
	return []Attack{
		{"case of a file", TarGz(file("run.sh"), file("RUN.sh")), same},
		{"case of a folder", TarGz(file("lib/a"), file("Lib/b")), same},
		{"case beyond ASCII", TarGz(file("straSe"), file("stra\u017fe")), same},
		{"twice", TarGz(file("a"), file("a")), "there twice"},
		{"file and folder", TarGz(file("a"), file("a/b")), "a file and a folder"},
		{"folder and file", TarGz(file("a/b"), file("a")), "a file and a folder"},
		{"backslash", TarGz(file(`a\..\..\evil`)), text},
		{"line break", TarGz(file("a\nb")), text},
		{"escape sequence", TarGz(file("a\x1b[2Jb")), text},
		{"turned around", TarGz(file("a\u202etxt.sh")), text},
		{"no UTF-8", Gzip(Header(Root+"/\xff", '0', 0), make([]byte, 1024)), text},
		{"long word", TarGz(file(strings.Repeat("a", 256))), "at most"},
		{"long path", TarGz(file(strings.Repeat(strings.Repeat("a", 100)+"/", 11) + "a")), "at most"},
		{"deep path", TarGz(file(strings.Repeat("a/", 40) + "a")), "at most"},
	}
}

func records() []Attack {
	const odd = "records that are not unpacked"
	end := make([]byte, 1024)
	return []Attack{
		{"capability", TarGz(Entry{Name: Root + "/a", PAX: map[string]string{"SCHILY.xattr.security.capability": "x"}}), odd},
		{"sparse by record", Gzip(record("GNU.sparse.size", "1000000000000"), Header(Root+"/a", '0', 0), end), odd},
		{"sparse by major", Gzip(record("GNU.sparse.realsize", "1099511627776"), Header(Root+"/a", '0', 0), end), odd},
		{"sparse of old", Gzip(Header(Root+"/a", 'S', 0), end), "no links or devices"},
		{"other path by record", Gzip(record("path", "../evil"), Header(Root+"/a", '0', 0), end), "a path goes down"},
		{"path for all", TarGz(Entry{Type: tar.TypeXGlobalHeader, PAX: map[string]string{"path": "../evil"}}, file("a")), odd},
		{"unknown type", Gzip(Header(Root+"/a", 'Z', 0), end), "no links or devices"},
	}
}

func exhausting() []Attack {
	const few = 20_000
	files := tiny(few)
	return []Attack{
		{"bomb", repeated(Header(Root+"/bomb", '0', 256<<20), make([]byte, 1<<20), 256), "beyond the limit"},
		{"a million tiny files", repeated(files, files, 1_000_000/few-1), "beyond the limit"},
	}
}

// tiny is a tar of so many empty files.
func tiny(n int) []byte {
	all := make([]byte, 0, n*512)
	block := Header(Root+"/0000000", '0', 0)
	digits := block[len(Root)+1 : len(Root)+8]
	for range n {
		all = append(all, block...)
		next(digits, block[148:154])
	}
	return all
}

// next counts the digits up, and keeps the checksum of the block right.
func next(digits, sum []byte) {
	total := 0
	for _, d := range sum {
		total = total*8 + int(d-'0')
	}
	for i := len(digits) - 1; i >= 0; i-- {
		if digits[i]++; digits[i] <= '9' {
			total++
			break
		}
		digits[i] = '0'
		total -= 9
	}
	for i := len(sum) - 1; i >= 0; i-- {
		sum[i], total = byte('0'+total%8), total/8
	}
}

func broken() []Attack {
	good := TarGz(file("a"))
	flipped := bytes.Clone(good)
	flipped[len(flipped)-6] ^= 1 // of the checksum
	return []Attack{
		{"error page", []byte("<html><body><h1>It works!</h1></body></html>"), "no gzip"},
		{"nothing", nil, "no gzip"},
		{"no tar", Gzip([]byte(strings.Repeat("no tar", 200))), "invalid tar header"},
		{"cut off", good[:len(good)/2], "unexpected EOF"},
		{"size that is not there", Gzip(Header(Root+"/a", '0', 1<<20), []byte("short")), "unexpected EOF"},
		{"size beyond all", Gzip(Header(Root+"/a", '0', 8<<30-1), make([]byte, 1<<20)), "unexpected EOF"},
		{"flipped", flipped, "checksum"},
		{"something behind", append(bytes.Clone(good), "more"...), "after the end"},
		{"second archive behind", append(bytes.Clone(good), good...), "after the end"},
		{"something behind the tar", Gzip(Header(Root+"/a", '0', 0), make([]byte, 1024), []byte("more")), "after the end"},
	}
}
