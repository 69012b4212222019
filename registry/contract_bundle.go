package registry

import (
	"io"
)

// CONTRACT ONLY: bodies come from the owner of the bundle part, in files of one idea each; this file then goes away.

// SumsFile is the checksum file of a bundle, as sha256sum writes it.
const SumsFile = "SHA256SUMS"

// Bundle is a machine's directory as a deterministic tar.gz. All entries are below a folder of the machine's name, as Choria's are.
type Bundle struct {
	Name, Version string
	Data          []byte
	Digest        string // sha256 of Data, hex
	SumsDigest    string // sha256 of its SHA256SUMS, hex
}

// Pack makes the bundle of a folder that holds a machine.yaml. The same files give the same bytes, wherever and whenever. Files that begin with a
// dot, and an old SHA256SUMS, are left out.
func Pack(dir string) (*Bundle, error) { panic("contract only") }

// Limits bound what Unpack takes.
type Limits struct {
	Compressed, Unpacked int64 // bytes
	Entries              int
	Ratio                int // unpacked to compressed, above the first MiB
}

// DefaultLimits are generous for machines.
func DefaultLimits() Limits { panic("contract only") }

// Unpack checks the digest of an archive (hex; "" is none) before it unpacks it into a folder that does not exist yet: regular files and folders only,
// masked to 0755, never outside. After an error nothing is left.
func Unpack(archive io.ReaderAt, size int64, digest, into string, l Limits) error {
	panic("contract only")
}

// Verify holds a folder against its checksum file, whose own digest is given (hex): every file is listed and as listed, and no other is there.
// The error is a *Tampered.
func Verify(dir, sumsFile, sumsDigest string) error { panic("contract only") }

// Tampered says what is not as it was signed.
type Tampered struct{ Changed, Missing, Extra []string }

func (t *Tampered) Error() string { panic("contract only") }

// Slots is a folder in which payloads are replaced as a whole: target/NAME is a link to target/.slots/NAME-DIGEST. Data that a machine
// writes is elsewhere.
type Slots struct {
	Target string
	// Sync makes changes durable before they count; emulations in memory do without.
	Sync bool
}

// Current is the folder that NAME points to, with the digest in its name; ok is false where there is none, or the pointer is not as Slots writes it.
func (s *Slots) Current(name string) (dir, digest string, ok bool) { panic("contract only") }

// Install unpacks an archive into a slot of its own, verifies it, and points NAME to it, in that order, so that a crash leaves the old or the new.
// A slot of that digest that is there and intact is used again; a damaged one is replaced. The slot before is kept for a way back.
func (s *Slots) Install(name, digest string, archive io.ReaderAt, size int64, verify func(dir string) error, l Limits) (dir string, err error) {
	panic("contract only")
}

// Prepared is the intact slot of a digest where there is one, so that nothing needs to be fetched to go back.
func (s *Slots) Prepared(name, digest string, verify func(dir string) error) (dir string, ok bool) {
	panic("contract only")
}

// Remove removes the pointer and all slots of a name that Slots has made. What it did not make, it leaves.
func (s *Slots) Remove(name string) error { panic("contract only") }

// Names are the names that Slots has made.
func (s *Slots) Names() ([]string, error) { panic("contract only") }
