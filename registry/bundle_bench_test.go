package registry

import (
	"bytes"
	"path/filepath"
	"strconv"
	"testing"
)

func BenchmarkPack(b *testing.B) {
	dir := write(b, webFiles())
	for b.Loop() {
		if _, err := Pack(dir); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkUnpack(b *testing.B) {
	bundle, dir, n := packed1(b, webFiles()), b.TempDir(), 0
	for b.Loop() {
		n++
		into := filepath.Join(dir, strconv.Itoa(n))
		if err := Unpack(bytes.NewReader(bundle.Data), int64(len(bundle.Data)), bundle.Digest, into, DefaultLimits()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkIntact is what a look at a machine pays for the certainty that its files are as signed.
func BenchmarkIntact(b *testing.B) {
	dir, sums := signed(b, webFiles())
	i := NewIntact(dir, SumsFile, sums)
	if err := i.Check(b.Context()); err != nil {
		b.Fatal(err)
	}
	trust(i)
	for b.Loop() {
		if err := i.Check(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	dir, sums := signed(b, webFiles())
	for b.Loop() {
		if err := Verify(dir, SumsFile, sums); err != nil {
			b.Fatal(err)
		}
	}
}
