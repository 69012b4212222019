package messaging

import (
	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/watchers"
)

// Types returns the types connection, publish, request, service, spawn and subscribe. Without a pool or spawner their looks fail and say so.
func Types(pool *Pool, spawner watchers.Spawner) []watchers.Type {
	return []watchers.Type{
		connectionType(pool), publishType(pool), requestType(pool), serviceType(pool, spawner), spawnType(pool, spawner), subscribeType(pool),
	}
}

// mapped returns the outcomes that a manifest does something with.
func mapped(w *machine.WatcherSpec, outcomes []machine.Outcome) map[string]bool {
	does := map[string]bool{}
	for _, o := range outcomes {
		fires := o.Class == machine.Success && w.SuccessTransition != "" || o.Class == machine.Failure && w.FailTransition != ""
		does[o.Name] = fires || w.On[o.Name] != ""
	}
	return does
}

// listenerOutcomes adds to a listener's own outcomes those that every one has.
func listenerOutcomes(own ...machine.Outcome) []machine.Outcome {
	return append(own,
		machine.Outcome{Name: outcomeListening, Class: machine.Neutral, Doc: "the broker has confirmed the subscription; once for each time that the state is entered"},
		machine.Outcome{Name: outcomeUnreadable, Class: machine.Neutral, Payload: unreadablePayload(),
			Doc: "a message is no text, is larger than what an event may carry, a formula has no answer for it, or others may read it otherwise"},
		limitedOutcome("a message is over a quota, as by says of whom; it is left out, or the request answered with an error of code 429"),
		machine.Outcome{Name: outcomeOverflowed, Class: machine.Neutral, Payload: map[string]machine.ValueType{"dropped": machine.Integer},
			Doc: "messages were dropped, because more than pending were waiting"},
	)
}
