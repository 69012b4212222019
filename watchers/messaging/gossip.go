package messaging

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/statecraft-io/statecraft/watchers"
)

// Choria's gossip watcher sends "1" every 15 s; a member of a service is announced by the subject alone.
const (
	gossipInterval      = 15 * time.Second
	registrationPayload = "1"
	registrationPrefix  = "choria.hoist"
)

var registrationName = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_-]*$`)

// registrationSpec announces a member of a service.
type registrationSpec struct {
	// Cluster is what the service belongs to.
	Cluster string `yaml:"cluster,required"`
	// Service is the service's name.
	Service string `yaml:"service,required"`
	// Protocol is what the member speaks.
	Protocol string `yaml:"protocol,required"`
	// IP is the member's address.
	IP string `yaml:"ip,required"`
	// Port is the member's port.
	Port int `yaml:"port,required" min:"1" max:"65535"`
	// Priority orders the members.
	Priority int `yaml:"priority" min:"0"`
	// Annotations say more about the member; they are sent as headers.
	Annotations map[string]string `yaml:"annotations"`
	// Prefix is what the subject begins with.
	Prefix string `yaml:"prefix" default:"choria.hoist"`
}

func (r *registrationSpec) subject() watchers.Text {
	text := fmt.Sprintf("%s.%s.%s.member.%s.%s.P.%d.%d", r.Prefix, r.Cluster, r.Service, r.Protocol, r.IP, r.Port, r.Priority)
	return watchers.PlainText(text)
}

func (s *publishSpec) checkRegistration(f *findings) {
	r := s.Registration
	if !s.Subject.Empty() || !s.Payload.Empty() || s.Body != nil || s.Event != nil {
		f.add("registration", CodeTogether, "leave out subject, payload, body and event: the registration says what is sent",
			"registration goes with no subject and no body of its own")
	}
	for key, text := range map[string]string{"cluster": r.Cluster, "service": r.Service, "protocol": r.Protocol} {
		if !registrationName.MatchString(text) {
			f.add("registration", CodeName, "a name begins with a letter, then letters, digits, _ and - follow", "registration: the %s %q is not a name", key, text)
		}
	}
	if _, err := netip.ParseAddr(r.IP); err != nil {
		f.add("registration", CodeName, "write an address, such as 192.0.2.7", "registration: %q is not an IP address", r.IP)
	}
	if err := CheckSubject(r.Prefix, false); err != nil {
		f.add("registration", CodeSubject, subjectHint, "registration: the prefix: %v", err)
	}
}

// gossipSubject is where a node sends what it was asked to send to a subject: it may send below its own only.
func gossipSubject(look *watchers.Look, subject string) string {
	return "node." + strings.ReplaceAll(look.Identity, ".", "=") + ".out.gossip." + subject
}

// gossipState is the state event's part, as Choria's consumers know it.
func gossipState(look *watchers.Look, msg *nats.Msg) map[string]any {
	return map[string]any{"previous_subject": msg.Subject, "previous_payload": string(msg.Data), "previous_gossip": look.At.Unix()}
}
