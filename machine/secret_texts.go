package machine

import (
	"cmp"
	"slices"
	"strings"
)

// The lengths, in bytes, from which a text is looked for in others. A shorter one stands in many texts by chance, and of a mapping most
// texts are not what makes it a secret.
const (
	minSecretText = 6
	minInnerText  = 16
)

// SecretTexts returns the texts that are secret in a machine's data and input, and in what an event brings, longest first, so that they
// can be taken out of messages.
func (d *Definition) SecretTexts(s *Snapshot, event *Record) []string {
	if d.secrets == nil {
		return nil
	}
	var texts []string
	collect := func(v any) { texts = appendTexts(texts, v, minSecretText) }
	d.secrets.payloadOf(d, event).each(event.Payload, collect)
	for _, data := range []map[string]any{s.Data, event.Input, event.Set} {
		d.secrets.keys.each(data, collect)
	}
	for _, input := range []map[string]any{s.Input, event.Arguments} {
		d.secrets.input.each(input, collect)
	}
	slices.SortFunc(texts, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), strings.Compare(a, b)) })
	return slices.Compact(texts)
}

func appendTexts(texts []string, v any, shortest int) []string {
	switch v := v.(type) {
	case string:
		if len(v) >= shortest {
			texts = append(texts, v)
		}
	case map[string]any:
		for _, e := range v {
			texts = appendTexts(texts, e, minInnerText)
		}
	case []any:
		for _, e := range v {
			texts = appendTexts(texts, e, minInnerText)
		}
	}
	return texts
}
