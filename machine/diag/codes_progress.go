package diag

// progressEntries documents the codes of how a machine comes on.
var progressEntries = []Entry{
	{
		Code: "SC420", Title: "event that is lost where no guard holds",
		Explanation: "In a state that the machine must leave, a deadline or a look that is made once fires an event that is taken there only if a guard " +
			"holds. Where none does, the event is gone: the deadline does not fire again, and the watcher does not look again. The last of several " +
			"transitions of one event usually has no guard.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: up
data: {urgent: {type: boolean, default: false}}
states: {up: {home: true}, down: {after: {10m: gave_up}}, lost: {home: true}}
transitions:
  - {name: broke, from: [up], destination: down}
  - {name: mended, from: [down], destination: up}
  - {name: gave_up, from: [down], destination: lost, when: data.urgent}
watchers:
  - {name: check, type: exec, state_match: [up], interval: 10s, fail_transition: broke, properties: {command: ./check}}
  - {name: repair, type: exec, state_match: [down], interval: 1m, success_transition: mended, properties: {command: ./repair}}
`,
		Good: `format: 1
name: web
version: 1.0.0
initial_state: up
data: {urgent: {type: boolean, default: false}}
states: {up: {home: true}, down: {after: {10m: gave_up}}, lost: {home: true}}
transitions:
  - {name: broke, from: [up], destination: down}
  - {name: mended, from: [down], destination: up}
  - {name: gave_up, from: [down], destination: lost, when: data.urgent}
  - {name: gave_up, from: [down], destination: up}
watchers:
  - {name: check, type: exec, state_match: [up], interval: 10s, fail_transition: broke, properties: {command: ./check}}
  - {name: repair, type: exec, state_match: [down], interval: 1m, success_transition: mended, properties: {command: ./repair}}
`,
	},
	{
		Code: "SC421", Title: "watcher that pauses within what it spans",
		Explanation: "A watcher that listens is active in every state before and behind this one, and not in it. When the machine passes " +
			"through, the watcher ends what it holds - a connection, a subscription - and takes it anew, and what others say meanwhile is " +
			"lost. Usually the state was added later. A state that only operators lead to, and one that leads back to where the machine " +
			"came from, are not reported.",
		Bad: `format: 1
name: guest
version: 1.0.0
initial_state: away
states: {away: {home: true}, staying: {home: true}}
transitions:
  - {name: arrived, from: [away], destination: greeting}
  - {name: greeted, from: [greeting], destination: looking}
  - {name: looked, from: [looking], destination: staying}
  - {name: left, from: [greeting, looking, staying], destination: away}
  - {name: called, from: [greeting, staying, away], destination: away}
watchers:
  - {name: come, type: exec, state_match: [away], interval: 1m, success_transition: arrived, properties: {command: ./come}}
  - {name: greet, type: exec, state_match: [greeting], success_transition: greeted, fail_transition: left, properties: {command: ./greet}}
  - {name: look, type: exec, state_match: [looking], success_transition: looked, fail_transition: left, properties: {command: ./look}}
  - {name: calls, type: subscribe, state_match: [away, greeting, staying], success_transition: called, properties: {subject: calls}}
`,
		Good: `format: 1
name: guest
version: 1.0.0
initial_state: away
states: {away: {home: true}, staying: {home: true}}
transitions:
  - {name: arrived, from: [away], destination: greeting}
  - {name: greeted, from: [greeting], destination: looking}
  - {name: looked, from: [looking], destination: staying}
  - {name: left, from: [greeting, looking, staying], destination: away}
  - {name: called, from: [greeting, looking, staying, away], destination: away}
watchers:
  - {name: come, type: exec, state_match: [away], interval: 1m, success_transition: arrived, properties: {command: ./come}}
  - {name: greet, type: exec, state_match: [greeting], success_transition: greeted, fail_transition: left, properties: {command: ./greet}}
  - {name: look, type: exec, state_match: [looking], success_transition: looked, fail_transition: left, properties: {command: ./look}}
  - {name: calls, type: subscribe, state_match: [away, greeting, looking, staying], success_transition: called, properties: {subject: calls}}
`,
	},
	{
		Code: "SC422", Title: "rest only after a failure",
		Explanation: "A state that is neither home nor final is to be left, and from this one a home or final state is reached only where a " +
			"watcher fails or a deadline passes: where all goes well the machine does not come on. Mostly a watcher or its " +
			"success_transition is missing. A deadline counts as the way on in a state where nothing is done but to wait for it, and a " +
			"failure that a machine waits for is written as on: {fail: EVENT}. In format 1 it is a warning.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: up
states: {broken: {after: {1h: mended}}}
transitions:
  - {name: broke, from: [up], destination: repairing}
  - {name: mended, from: [repairing, broken], destination: up}
  - {name: gave_up, from: [repairing], destination: checking}
  - {name: bad, from: [checking], destination: broken}
  - {name: good, from: [checking], destination: checking}
watchers:
  - {name: check, type: exec, state_match: [up], interval: 10s, fail_transition: broke, properties: {command: ./check}}
  - {name: repair, type: exec, state_match: [repairing], success_transition: mended, fail_transition: gave_up, properties: {command: ./repair}}
  - {name: again, type: exec, state_match: [checking], interval: 1m, success_transition: good, fail_transition: bad, properties: {command: ./check}}
`,
		Good: `format: 1
name: web
version: 1.0.0
initial_state: up
states: {broken: {after: {1h: mended}}}
transitions:
  - {name: broke, from: [up], destination: repairing}
  - {name: mended, from: [repairing, broken, checking], destination: up}
  - {name: gave_up, from: [repairing], destination: checking}
  - {name: bad, from: [checking], destination: broken}
watchers:
  - {name: check, type: exec, state_match: [up], interval: 10s, fail_transition: broke, properties: {command: ./check}}
  - {name: repair, type: exec, state_match: [repairing], success_transition: mended, fail_transition: gave_up, properties: {command: ./repair}}
  - {name: again, type: exec, state_match: [checking], interval: 1m, success_transition: mended, fail_transition: bad, properties: {command: ./check}}
`,
	},
	{
		Code: "SC423", Title: "last look without an event",
		Explanation: "The state is neither home nor final, and the machine can stay there for ever: a look ends with an outcome that fires " +
			"nothing, and nothing else happens - no watcher has an interval or waits for others, and there is no deadline or subscription. In " +
			"format 1 it is a warning.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: up
transitions:
  - {name: broke, from: [up], destination: down}
  - {name: mended, from: [down], destination: up}
watchers:
  - {name: check, type: exec, state_match: [up], interval: 10s, fail_transition: broke, properties: {command: ./check}}
  - {name: repair, type: exec, state_match: [down], success_transition: mended, properties: {command: ./repair}}
`,
		Good: `format: 1
name: web
version: 1.0.0
initial_state: up
transitions:
  - {name: broke, from: [up], destination: down}
  - {name: mended, from: [down], destination: up}
watchers:
  - {name: check, type: exec, state_match: [up], interval: 10s, fail_transition: broke, properties: {command: ./check}}
  - {name: repair, type: exec, state_match: [down], interval: 1m, success_transition: mended, properties: {command: ./repair}}
`,
	},
	{
		Code: "SC425", Title: "guard that can never be true",
		Explanation: "The guard is false whatever happens, its comparisons exclude each other, or it compares data that this machine sets - " +
			"such as a counter - with a value that no set gives it. In the last case a raise is mostly missing. What watchers set and what " +
			"the machine never sets itself can be anything. In format 1 it is a warning.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: up
data: {failures: {type: integer, default: 0}}
states: {broken: {home: true}, up: {home: true}}
transitions:
  - {name: good, from: [up, broken], destination: up, set: {failures: "0"}}
  - {name: bad, from: [up], destination: broken, when: data.failures >= 3}
  - {name: bad, from: [up, broken], destination: up, set: {failures: "1"}}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: good, fail_transition: bad, properties: {command: ./check}}
`,
		Good: `format: 1
name: web
version: 1.0.0
initial_state: up
data: {failures: {type: integer, default: 0}}
states: {broken: {home: true}, up: {home: true}}
transitions:
  - {name: good, from: [up, broken], destination: up, set: {failures: "0"}}
  - {name: bad, from: [up], destination: broken, when: data.failures >= 3}
  - {name: bad, from: [up, broken], destination: up, set: {failures: data.failures + 1}}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: good, fail_transition: bad, properties: {command: ./check}}
`,
	},
	{
		Code: "SC426", Title: "cycle that its counter does not end",
		Explanation: "The guard of a transition bounds a counter, and the machine comes from behind it to where it is asked again without anything having " +
			"changed that counter: it turns for as long as it runs. The transition is to raise what it bounds.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: up
data: {tries: {type: integer, default: 0}}
states: {up: {home: true}, lost: {home: true}}
transitions:
  - {name: broke, from: [up], destination: down, when: data.tries < 3}
  - {name: broke, from: [up], destination: lost}
  - {name: mended, from: [down], destination: up}
  - {name: again, from: [lost], destination: up, set: {tries: data.tries + 1}}
watchers:
  - {name: daily, type: timer, state_match: [lost], fail_transition: again, properties: {timer: 24h}}
  - {name: check, type: exec, state_match: [up], interval: 10s, fail_transition: broke, properties: {command: ./check}}
  - {name: repair, type: exec, state_match: [down], interval: 1m, success_transition: mended, properties: {command: ./repair}}
`,
		Good: `format: 1
name: web
version: 1.0.0
initial_state: up
data: {tries: {type: integer, default: 0}}
states: {up: {home: true}, lost: {home: true}}
transitions:
  - {name: broke, from: [up], destination: down, when: data.tries < 3, set: {tries: data.tries + 1}}
  - {name: broke, from: [up], destination: lost}
  - {name: mended, from: [down], destination: up}
  - {name: again, from: [lost], destination: up, clear: [tries]}
watchers:
  - {name: daily, type: timer, state_match: [lost], fail_transition: again, properties: {timer: 24h}}
  - {name: check, type: exec, state_match: [up], interval: 10s, fail_transition: broke, properties: {command: ./check}}
  - {name: repair, type: exec, state_match: [down], interval: 1m, success_transition: mended, properties: {command: ./repair}}
`,
	},
	{
		Code: "SC427", Title: "property that reads data which nobody declares",
		Explanation: "A template or an expression of a property reads a key of data that is not declared, and that no watcher sets: it never " +
			"has a value. In format 1 it is a warning.",
		Bad: `format: 1
name: greeter
version: 1.0.0
initial_state: idle
data: {greeting: {type: string, default: hello}}
transitions:
  - {name: greeted, from: [idle], destination: idle}
watchers:
  - {name: greet, type: exec, interval: 1m, success_transition: greeted, properties: {command: 'echo {{ lookup "data.greting" "" }}'}}
`,
		Good: `format: 1
name: greeter
version: 1.0.0
initial_state: idle
data: {greeting: {type: string, default: hello}}
transitions:
  - {name: greeted, from: [idle], destination: idle}
watchers:
  - {name: greet, type: exec, interval: 1m, success_transition: greeted, properties: {command: 'echo {{ lookup "data.greeting" "" }}'}}
`,
	},
	{
		Code: "SC429", Title: "template that reads a field",
		Explanation: "Templates have functions, mostly lookup, and no fields as those of Go programs have: such a one gives the text <no value>. " +
			"Within a loop, the fields of what it goes through can be read.",
		Bad: `format: 1
name: greeter
version: 1.0.0
initial_state: idle
transitions:
  - {name: greeted, from: [idle], destination: idle}
watchers:
  - {name: greet, type: exec, interval: 1m, success_transition: greeted, properties: {command: 'echo {{ .Facts.os.name }}'}}
`,
		Good: `format: 1
name: greeter
version: 1.0.0
initial_state: idle
transitions:
  - {name: greeted, from: [idle], destination: idle}
watchers:
  - {name: greet, type: exec, interval: 1m, success_transition: greeted, properties: {command: 'echo {{ lookup "facts.os.name" "" }}'}}
`,
	},
	{
		Code: "SC428", Title: "program that is not in the folder",
		Explanation: "A command that is written as a relative path with a slash is looked for in the machine's folder, and there is no such file.",
	},
	{
		Code: "SC424", Title: "state that waits for others without an end",
		Explanation: "The state is neither home nor final, has no deadline, and only watchers that wait for others are active in it. Where " +
			"nobody calls, the machine stays. It is a note, because that may be meant.",
		Bad: `format: 1
name: leave
version: 1.0.0
initial_state: idle
transitions:
  - {name: asked, from: [idle], destination: waiting}
  - {name: answered, from: [waiting], destination: idle}
watchers:
  - {name: questions, type: subscribe, state_match: [idle], success_transition: asked, properties: {subject: questions}}
  - {name: answers, type: subscribe, state_match: [waiting], success_transition: answered, properties: {subject: answers}}
`,
		Good: `format: 1
name: leave
version: 1.0.0
initial_state: idle
states: {waiting: {after: {72h: expired}}}
transitions:
  - {name: asked, from: [idle], destination: waiting}
  - {name: answered, from: [waiting], destination: idle}
  - {name: expired, from: [waiting], destination: idle}
watchers:
  - {name: questions, type: subscribe, state_match: [idle], success_transition: asked, properties: {subject: questions}}
  - {name: answers, type: subscribe, state_match: [waiting], success_transition: answered, properties: {subject: answers}}
`,
	},
}
