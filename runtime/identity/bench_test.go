package identity

import (
	"testing"
	"time"
)

// BenchmarkNodeToken issues and verifies a node token with one certificate, as an overlay does for every enrolment and connect.
func BenchmarkNodeToken(b *testing.B) {
	o := newOverlay(b)
	issuer := delegate(b, o.root, cellLimits(), 90*24*time.Hour)
	c, e := nodeClaims(b), expectNode()
	b.ReportAllocs()
	for b.Loop() {
		token, err := issuer.Sign(c)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := o.verifier.Verify(token, e); err != nil {
			b.Fatal(err)
		}
	}
}
