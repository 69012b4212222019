package identity

import (
	"encoding/json"
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

// benchAssignment is an assignment of the size that overlays give, with a token that two certificates vouch for.
func benchAssignment(b *testing.B, o *overlay) *Assignment {
	b.Helper()
	policies, err := json.Marshal(map[string]any{"action": map[string]any{"package": "policy default deny\nallow\tcallerid=*\t*\t*\t*"}, "opa": map[string]any{}})
	if err != nil {
		b.Fatal(err)
	}
	ca, err := NewCA("bench", noon, time.Hour)
	if err != nil {
		b.Fatal(err)
	}
	return &Assignment{
		Identity: "web1.example", Cell: "c1", URLs: []string{"tls://b1:4222", "tls://b2:4222"}, CA: ca.PEM(),
		Token: sign(b, o.cell, nodeClaims(b)), Roots: []string{o.root.Key.Public().String()},
		Configuration: json.RawMessage(`{"interval":300,"collectives":["mcollective","eu_west"]}`), Policies: policies,
	}
}

func benchStores(b *testing.B, f func(b *testing.B, o *overlay, s *Store)) {
	for name, dir := range map[string]string{"memory": "", "disk": b.TempDir()} {
		b.Run(name, func(b *testing.B) {
			o := newOverlay(b)
			s, err := OpenStore(dir)
			if err != nil {
				b.Fatal(err)
			}
			if _, _, err := s.EnsureKey(); err != nil {
				b.Fatal(err)
			}
			if err := s.Stage(benchAssignment(b, o)); err != nil {
				b.Fatal(err)
			}
			if err := s.Activate(); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			f(b, o, s)
		})
	}
}

// BenchmarkStoreRead reads what every connect and every identity action reads.
func BenchmarkStoreRead(b *testing.B) {
	b.Run("key", func(b *testing.B) {
		benchStores(b, func(b *testing.B, _ *overlay, s *Store) {
			for b.Loop() {
				if _, err := s.Key(); err != nil {
					b.Fatal(err)
				}
			}
		})
	})
	b.Run("active", func(b *testing.B) {
		benchStores(b, func(b *testing.B, _ *overlay, s *Store) {
			for b.Loop() {
				if _, err := s.Active(); err != nil {
					b.Fatal(err)
				}
			}
		})
	})
	b.Run("verifier", func(b *testing.B) {
		benchStores(b, func(b *testing.B, o *overlay, s *Store) {
			w := &Wallet{Store: s, Roots: []PublicKey{o.root.Key.Public()}}
			for b.Loop() {
				if _, err := w.Verifier(); err != nil {
					b.Fatal(err)
				}
			}
		})
	})
}

// BenchmarkVerify verifies one token again and again: a node's is new to the broker once, a join token comes with every node.
func BenchmarkVerify(b *testing.B) {
	o := newOverlay(b)
	join := nodeClaims(b)
	join.Purpose, join.Identity, join.PublicKey, join.Join = PurposeJoin, "", "", &JoinClaims{URLs: []string{"tls://b1:4222"}, Identities: "web*"}
	for name, bench := range map[string]struct {
		token  string
		expect Expect
	}{
		"node": {sign(b, o.cell, nodeClaims(b)), expectNode()},
		"join": {sign(b, o.cell, join), Expect{Purposes: []Purpose{PurposeJoin}, Now: noon.Add(time.Hour)}},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := o.verifier.Verify(bench.token, bench.expect); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkInspect reads a token, as every credentials source does before a connect.
func BenchmarkInspect(b *testing.B) {
	o := newOverlay(b)
	token := sign(b, o.cell, nodeClaims(b))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Inspect(token); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPermits asks the limits of two certificates before signing.
func BenchmarkPermits(b *testing.B) {
	o := newOverlay(b)
	c := nodeClaims(b)
	b.ReportAllocs()
	for b.Loop() {
		if err := o.cell.Permits(c); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCrypto is what no change of ours makes cheaper: one signature, and one verification.
func BenchmarkCrypto(b *testing.B) {
	k, message := newKey(b), make([]byte, 1500)
	sig := k.Sign(message)
	b.Run("sign", func(b *testing.B) {
		for b.Loop() {
			k.Sign(message)
		}
	})
	b.Run("verify", func(b *testing.B) {
		public := k.Public()
		for b.Loop() {
			if !public.Verify(message, sig) {
				b.Fatal("it does not verify")
			}
		}
	})
}
