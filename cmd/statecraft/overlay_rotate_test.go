package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestTheIssuerOfJoinTokensIsRevokedLast: nodes enroll again by the join token that they have kept, which its revocation ends.
func TestTheIssuerOfJoinTokensIsRevokedLast(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cell")
	answer(t, &overlayInitVerb{Dir: dir, Host: []string{"o1=127.0.0.1"}}, false).wants(t, exitOK, "join.jwt")
	a := answer(t, &overlayRotateVerb{Dir: dir, All: true}, false)
	a.wants(t, exitOK, "4. statecraft token revoke", "5. statecraft token revoke", "6. last")
	var last string
	for line := range strings.Lines(a.out + a.errs) {
		if strings.Contains(line, "token revoke ") {
			last = line
		}
	}
	if !strings.Contains(last, filepath.Join("authority", "join.jwt")) {
		t.Errorf("the last that is revoked is %q", last)
	}
}
