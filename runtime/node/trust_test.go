package node

import (
	"crypto/tls"
	"fmt"
	"testing"
	"time"

	"github.com/statecraft-io/statecraft/runtime/identity"
)

func TestTrustIsSharedByThoseWhoTrustTheSame(t *testing.T) {
	var trust trusts
	made := map[*tls.Config]bool{}
	for i := range 2 * maxTrusts {
		ca, err := identity.NewCA(fmt.Sprint("cell ", i), time.Now(), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		for what, configure := range map[string]func() (*tls.Config, error){
			"pins": func() (*tls.Config, error) { return trust.pinned([]string{ca.Pin()}) },
			"ca":   func() (*tls.Config, error) { return trust.ca(ca.PEM()) },
		} {
			first, err := configure()
			if err != nil {
				t.Fatal(err)
			}
			second, err := configure()
			if err != nil || first != second {
				t.Errorf("%s: two configurations for the same trust, %v", what, err)
			}
			if made[first] {
				t.Errorf("%s: one configuration for two trusts", what)
			}
			made[first] = true
		}
		if len(trust.made) > maxTrusts {
			t.Fatalf("%d configurations are kept", len(trust.made))
		}
	}
}

func TestTrustInNothing(t *testing.T) {
	var trust trusts
	if c, err := trust.ca("no certificate"); err == nil || c != nil {
		t.Errorf("%v, %v", c, err)
	}
	if c, err := trust.pinned(nil); err == nil || c != nil {
		t.Errorf("%v, %v", c, err)
	}
}
