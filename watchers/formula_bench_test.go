package watchers

import "testing"

// BenchmarkFormula evaluates what the watchers of an enrollment do.
func BenchmarkFormula(b *testing.B) {
	look := &Look{
		Identity: "n1.example", Machine: "enrollee", Instance: "k", State: "s",
		Data:  map[string]any{"hello": "token", "proof_id": "p", "identity": "n1.example", "placement": map[string]any{}},
		Input: map[string]any{"site": map[string]any{"cell": "c1"}},
	}
	for name, text := range map[string]string{
		"field":   "data.hello",
		"mapping": "{identity: data.identity, public_key: instance, cell: input.site.cell, collectives: data.placement.collectives ?? ['main']}",
		"text":    `"_INBOX." + message.tokens[1] + "."`,
	} {
		b.Run(name, func(b *testing.B) {
			f, err := CompileFormula(text)
			if err != nil {
				b.Fatal(err)
			}
			message := map[string]any{"tokens": []any{"enroll", "key"}}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := f.Value(look, message); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
