package broker

import (
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/statecraft-io/statecraft/runtime/identity"
)

// A subscriber may answer a request once, within a minute, where the request says.
const (
	answers   = 1
	answersIn = time.Minute
)

// permissions allows what is listed and answers, and nothing else.
func permissions(publish, subscribe []string) *server.Permissions {
	return &server.Permissions{
		Publish: only(publish), Subscribe: only(subscribe),
		Response: &server.ResponsePermission{MaxMsgs: answers, Expires: answersIn},
	}
}

// withoutAnswers allows what is listed, and nothing else: who asks and is asked nothing answers nothing.
func withoutAnswers(publish, subscribe []string) *server.Permissions {
	return &server.Permissions{Publish: only(publish), Subscribe: only(subscribe)}
}

// nothing allows nothing.
func nothing() *server.Permissions {
	return &server.Permissions{Publish: only(nil), Subscribe: only(nil)}
}

// only is the subjects. To nats-server an empty list is everything, so that an empty one is written as a denial.
func only(subjects []string) *server.SubjectPermission {
	if len(subjects) == 0 {
		return &server.SubjectPermission{Deny: []string{">"}}
	}
	return &server.SubjectPermission{Allow: subjects}
}

func inbox(owner string) string { return "_INBOX." + owner + ".>" }

// InboxPrefix is what the inboxes of a token's holder begin with: nats.CustomInboxPrefix. Keys of clients and services are written in the
// form of NATS, which is in upper case, so that no node's name is the same.
func InboxPrefix(c *identity.Claims, key identity.PublicKey) string {
	switch c.Purpose {
	case identity.PurposeJoin:
		return "_INBOX." + key.String()
	case identity.PurposeNode:
		return "_INBOX." + c.Identity.Token()
	default:
		return "_INBOX." + key.NKey()
	}
}

// joinPermissions is of who has a join token: the subjects of its key. Where a word follows the name of a message it is the id of this very token, so
// that who reads the message knows which one the session was opened with.
func joinPermissions(c *identity.Claims, key identity.PublicKey) *server.Permissions {
	k := key.String()
	out := "enroll." + k + ".out."
	return permissions([]string{out + "*", out + "*." + c.ID, out + "event.>"}, []string{"enroll." + k + ".in.>", "enroll.all.in.>", inbox(k)})
}

// specs is what all nodes hear: the specs and trust roots as they are published. No collective has its name.
const specs = "specs"

// nodePermissions is of a node: its own subjects, the specs, and the broadcasts of its collectives. Nothing of JetStream is among them, not even to
// read: it answers where the asker says, without asking what the asker may, and an empty answer led to $JS.API.STREAM.DELETE.NAME deletes
// the stream. Services read for nodes.
func nodePermissions(c *identity.Claims) *server.Permissions {
	t := c.Identity.Token()
	subscribe := []string{"node." + t + ".in.>", inbox(t), "fleet." + specs + ".>"}
	for _, collective := range c.Collectives {
		if collective == specs {
			continue
		}
		subscribe = append(subscribe, "fleet."+collective+".>")
	}
	return permissions([]string{"node." + t + ".out.>"}, subscribe)
}

// renewPermissions is of a node whose token has ended.
func renewPermissions(c *identity.Claims) *server.Permissions {
	t := c.Identity.Token()
	return withoutAnswers([]string{"node." + t + ".out.renew"}, []string{inbox(t)})
}

// clientPermissions is of a client: its inbox and what its rights open. Clients ask and do not answer: an event that they may see can have been
// published with a reply subject, and what they said there would be taken for a stream's acknowledgement.
func clientPermissions(c *identity.Claims, key identity.PublicKey) *server.Permissions {
	var publish []string
	subscribe := []string{inbox(key.NKey())}
	for _, r := range rights {
		if c.Permissions[r.Name] {
			for _, service := range r.Services {
				publish = append(publish, ServiceSubject(key.NKey(), service))
			}
			publish = append(publish, r.Publish...)
			for _, subject := range r.Own {
				publish = append(publish, strings.ReplaceAll(subject, "KEY", key.NKey()))
			}
			subscribe = append(subscribe, r.Subscribe...)
		}
	}
	return withoutAnswers(publish, subscribe)
}

// leafPermissions is of the enrollment listener: what those who join may say is held by that listener, and here again.
func leafPermissions() *server.Permissions {
	subjects := []string{"enroll.>", "_INBOX.>"}
	return &server.Permissions{Publish: only(subjects), Subscribe: only(subjects)}
}

// selfPermissions is of the broker's own connection: to read what is revoked, to hear what is being revoked, and to write again what the
// bucket has lost.
func selfPermissions(key identity.PublicKey) *server.Permissions {
	return permissions(append(readBucket(revokedBucket), revokedSubjects+">"), []string{inbox(key.NKey()), revokedSubjects + ">"})
}

// serviceAccount is the account of an overlay's service, "" where its token does not name exactly one.
func serviceAccount(c *identity.Claims) string {
	account := ""
	for right, of := range map[string]string{
		RightFleetService: AccountFleet, RightEnrollmentService: AccountEnrollment, RightUplinkService: AccountUplink,
	} {
		switch {
		case !c.Permissions[right]:
		case account != "":
			return ""
		default:
			account = of
		}
	}
	return account
}
