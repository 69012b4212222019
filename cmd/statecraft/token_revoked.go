package main

import (
	"encoding/json"
	"time"

	"github.com/statecraft-io/statecraft/runtime/broker"
)

// tokenRevokedVerb lists what is revoked.
type tokenRevokedVerb struct {
	contextFlags
}

// revokedList is what token revoked --json prints.
type revokedList struct {
	Revoked []revokedResult `json:"revoked"` // in the order of their keys in the bucket
	// Unreadable are keys of the bucket that are in no form that this program reads.
	Unreadable []string `json:"unreadable,omitempty"`
}

// Run prints a line for each revocation.
func (v *tokenRevokedVerb) Run(inv *invocation) error {
	m, err := v.connect(inv, "token_revoke")
	if err != nil {
		return err
	}
	defer m.close()
	list := revokedList{Revoked: []revokedResult{}}
	err = pages(func(after string) (string, error) {
		var page struct {
			Entries []struct {
				Key   string          `json:"key"`
				Value json.RawMessage `json:"value"`
			} `json:"entries"`
			Next string `json:"next"`
		}
		if err := m.request("revoked", map[string]string{"after": after}, &page); err != nil {
			return "", err
		}
		for _, e := range page.Entries {
			r, err := broker.ParseRevocation(e.Key)
			one := revokedResult{Kind: r.Kind, Value: r.Value, Purpose: r.Purpose}
			if err == nil {
				err = json.Unmarshal(e.Value, &one)
			}
			if err != nil || one.By == "" {
				list.Unreadable = append(list.Unreadable, e.Key)
				continue
			}
			list.Revoked = append(list.Revoked, one)
		}
		return page.Next, nil
	})
	if err != nil {
		return err
	}
	if inv.json {
		return inv.printJSON(list)
	}
	for _, key := range list.Unreadable {
		inv.notef("the key %q of the bucket REVOKED is no revocation and bans nobody", key)
	}
	if len(list.Revoked) == 0 {
		inv.printf("nothing is revoked\n")
		return nil
	}
	rows := [][]string{{"KIND", "WHAT", "PURPOSE", "AT", "BY", "ENDS BY ITSELF", "REASON"}}
	for _, r := range list.Revoked {
		rows = append(rows, []string{string(r.Kind), named(r.Kind, r.Value), orDash(string(r.Purpose)), instant(r.At), r.By, untilText(r.Until), r.Reason})
	}
	inv.table(rows)
	return nil
}

// untilText is a time of a revocation as all others are printed; what is no time is shown as it is.
func untilText(until string) string {
	if t, err := time.Parse(time.RFC3339, until); err == nil {
		return instant(t)
	}
	return orDash(until)
}
