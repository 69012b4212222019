package consumers

import (
	"bytes"
	"crypto/sha256"
	"regexp"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/statecraft-io/statecraft/watchers/messaging"
)

// A consumer of a client is called KEY-NAME in JetStream. A key has no hyphen in it.
const keyEnd = "-"

func fullName(who, name string) string { return who + keyEnd + name }

// pull passes a pull on to JetStream, written anew, which delivers straight to the client's inbox. A state can only be told by JetStream itself, and clients take anything
// else for a message: what leads to no consumer is counted and not answered, and JetStream refuses what is not to be asked for.
func (g *gateway) pull(r *request) {
	if len(r.api) != 5 || !g.serves(r.api[3]) || !isConsumer(r.api[4]) {
		g.count.request(countRefused)
		return
	}
	body := g.anew(r.who, r.api[4], r.body)
	g.publish(&nats.Msg{Subject: apiPrefix + "CONSUMER.MSG.NEXT." + r.api[3] + "." + fullName(r.who, r.api[4]), Reply: r.to, Data: body})
}

// anew writes a pull anew, and one that may not be as one that JetStream refuses.
func (g *gateway) anew(who, consumer string, body []byte) []byte {
	written, err := readPull(body)
	if err != nil {
		g.look.Log.Debug("a pull is refused", "client", who, "consumer", consumer, "error", err)
		g.count.request(countRefused)
		return refused
	}
	g.count.request(countAnswered)
	return written
}

// publish says something to JetStream that it answers elsewhere, or not at all.
func (g *gateway) publish(m *nats.Msg) {
	if err := g.conn.PublishMsg(m); err != nil {
		g.count.request(countFailed)
	}
}

// AckMapping is how the account of the streams maps what is acknowledged, for whoever sets up the broker: a client publishes to the reply subject of a message, as
// every client of NATS does, $JS.ACK.DOMAIN.HASH.STREAM.KEY-NAME.DELIVERED.SEQUENCE.SEQUENCE.TIME.PENDING with a hash of the account's name. The broker makes of it a
// subject in which the key is a word of its own, and holds the client's permissions against that: see AckSubject. The broker's feature flag js_ack_fc_v2 has to be on.
func AckMapping(domain, account, stream string) (from, to string) {
	return "$JS.ACK." + domain + "." + accountHash(account) + "." + stream + ".*.*.*.*.*.*",
		acksPrefix + stream + ".{{wildcard(2)}}.{{wildcard(3)}}.{{wildcard(4)}}.{{wildcard(5)}}.{{wildcard(6)}}.{{split(1,-)}}"
}

// AckSubject is what the client with this key, in the form of NATS, publishes to when it acknowledges, after the mapping.
func AckSubject(key string) string { return acksPrefix + "*.*.*.*.*.*." + key + ".>" }

const (
	acksPrefix  = "consumers.acks."
	acksSubject = acksPrefix + ">"
	ackNumbers  = 5 // in an acknowledgement
	ackStream   = 2 // the places of words in the mapped subject
	ackKey      = ackStream + ackNumbers + 1
	mostAck     = 1024 // bytes of an acknowledgement
)

// keyForm is of public keys in the form of NATS.
var keyForm = regexp.MustCompile(`^U[A-Z2-7]+$`)

// readAck reads a subject of AckMapping. A consumer that is no client's has no key: of those only hosts and administrators acknowledge, who may publish anywhere.
func readAck(subject string) (who, stream, consumer string, numbers []string, ok bool) {
	words := strings.Split(subject, ".")
	if len(words) <= ackKey {
		return "", "", "", nil, false
	}
	numbers = words[ackStream+1 : ackKey]
	for _, n := range numbers {
		if n == "" || len(n) > 20 || strings.Trim(n, "0123456789") != "" {
			return "", "", "", nil, false
		}
	}
	consumer = strings.Join(words[ackKey:], keyEnd)
	if len(words) > ackKey+1 && keyForm.MatchString(words[ackKey]) && isConsumer(consumer) {
		who = words[ackKey]
	}
	return who, words[ackStream], consumer, numbers, true
}

// acknowledge passes an acknowledgement on. JetStream may be asked to confirm it, or for the next message: the answer goes to the
// client's inbox or nowhere, and asking for a message is a pull. What a host or an administrator acknowledges, who may publish anywhere, comes by here as well.
func (g *gateway) acknowledge(m *nats.Msg) {
	who, stream, consumer, numbers, ok := readAck(m.Subject)
	if !ok || !g.serves(stream) || len(m.Data) > mostAck {
		g.count.request(countRefused)
		return
	}
	inbox := "_INBOX."
	if who != "" {
		inbox += who + "."
	}
	if m.Reply != "" && (!messaging.Answerable(m.Reply, inbox) || messaging.CheckSubject(m.Reply, false) != nil) {
		g.count.request(countAstray)
		return
	}
	if g.acks.Take(g.look, m.Subject, messaging.Tokens(m.Subject), len(m.Data), now()) != nil {
		g.count.request(countLimited)
		return
	}
	g.count.request(countAcks)
	said := &nats.Msg{Subject: ackSubjectOf(stream, consumer, numbers), Reply: m.Reply, Data: m.Data}
	switch next, asks := bytes.CutPrefix(m.Data, ackNext); {
	case asks && who != "" && g.overPulls(who, stream, consumer, len(next)):
		g.count.request(countLimited)
		said.Reply, said.Data = "", ackOnly
	case asks:
		said.Data = slices.Concat(ackNext, []byte(" "), g.anew(who, consumer, next))
	case !isAck(m.Data):
		g.count.request(countRefused)
		return
	}
	g.publish(said)
}

// What a client may acknowledge with (nats-server, server/consumer.go): what is none of these JetStream passes over, and would go on to
// pass over only until a release of it gives it a meaning.
var (
	ackOnly  = []byte("+ACK")
	ackNext  = []byte("+NXT") // followed by a pull
	ackExact = []string{"", "+ACK", "+OK", "+WPI"}
	ackBegin = []string{"-NAK", "+TERM"} // followed by a delay, a reason
)

func isAck(body []byte) bool {
	text := string(body)
	return slices.Contains(ackExact, text) || slices.ContainsFunc(ackBegin, func(kind string) bool { return strings.HasPrefix(text, kind) })
}

// overPulls counts a pull in an acknowledgement as if it had been asked for by itself.
func (g *gateway) overPulls(who, stream, consumer string, size int) bool {
	subject := strings.TrimSuffix(strings.Replace(g.spec.Subject, "*", who, 1), ">") + "CONSUMER.MSG.NEXT." + stream + "." + consumer
	return g.meter.Take(g.look, subject, messaging.Tokens(subject), len(subject)+size, now()) != nil
}

// ackSubjectOf is an acknowledgement in JetStream's first form, which has neither domain nor account and is not mapped: nats-server takes both since 2.14.
func ackSubjectOf(stream, consumer string, numbers []string) string {
	return "$JS.ACK." + stream + "." + consumer + "." + strings.Join(numbers, ".")
}

// accountHash is the hash that nats-server has of an account's name (getHash). A test holds it to a server.
func accountHash(name string) string {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	sum := sha256.Sum256([]byte(name))
	hash := make([]byte, 8)
	for i := range hash {
		hash[i] = digits[int(sum[i])%len(digits)]
	}
	return string(hash)
}
