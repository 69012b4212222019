package diag

// transitionEntries documents the codes of events and transitions.
var transitionEntries = []Entry{
	{
		Code: "SC401", Title: "initial state",
		Explanation: "The initial state is not a state of the machine: no transition leaves it or leads to it.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: idel
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: ./check}}
`,
		Good: `format: 1
name: web
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: ./check}}
`,
	},
	{
		Code: "SC402", Title: "event in place of a state",
		Explanation: "The name is that of an event. An event leads from states to a state; the hint says to which.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: up
transitions:
  - {name: broke, from: [up], destination: down}
  - {name: mended, from: [down], destination: up}
watchers:
  - {name: check, type: exec, state_match: [up], interval: 10s, fail_transition: broke, properties: {command: ./check}}
  - {name: repair, type: exec, state_match: [broke], success_transition: mended, properties: {command: ./repair}}
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
		Code: "SC403", Title: "unknown state",
		Explanation: "No transition leaves this state or leads to it, most often because it is misspelled.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: up
transitions:
  - {name: broke, from: [up], destination: down}
  - {name: mended, from: [down], destination: up}
watchers:
  - {name: check, type: exec, state_match: [up], interval: 10s, fail_transition: broke, properties: {command: ./check}}
  - {name: repair, type: exec, state_match: [donw, down], success_transition: mended, properties: {command: ./repair}}
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
		Code: "SC404", Title: "unknown event",
		Explanation: "No transition has this name, so that nothing would happen.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: dnoe, properties: {command: ./check}}
`,
		Good: `format: 1
name: web
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: ./check}}
`,
	},
	{
		Code: "SC405", Title: "competing transitions",
		Explanation: "Two transitions of one event leave the same state, and the second is never taken because the " +
			"first always comes before it. A guard on all but the last tells them apart.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: up
transitions:
  - {name: broke, from: [up], destination: down}
  - {name: mended, from: [down], destination: up}
  - {name: mended, from: [down], destination: down}
watchers:
  - {name: check, type: exec, state_match: [up], interval: 10s, fail_transition: broke, properties: {command: ./check}}
  - {name: repair, type: exec, state_match: [down], interval: 1m, success_transition: mended, properties: {command: ./repair}}
`,
		Good: `format: 1
name: web
version: 1.0.0
initial_state: up
transitions:
  - {name: broke, from: [up], destination: down}
  - {name: mended, from: [down], destination: up, when: state == 'down'}
  - {name: mended, from: [down], destination: down}
watchers:
  - {name: check, type: exec, state_match: [up], interval: 10s, fail_transition: broke, properties: {command: ./check}}
  - {name: repair, type: exec, state_match: [down], interval: 1m, success_transition: mended, properties: {command: ./repair}}
`,
	},
	{
		Code: "SC406", Title: "transition written twice",
		Explanation: "The same transition, or the same source of one, is written twice.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: up
transitions:
  - {name: broke, from: [up], destination: down}
  - {name: mended, from: [down, down], destination: up}
watchers:
  - {name: check, type: exec, state_match: [up], interval: 10s, fail_transition: broke, properties: {command: ./check}}
  - {name: repair, type: exec, state_match: [down], interval: 1m, success_transition: mended, properties: {command: ./repair}}
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
		Code: "SC410", Title: "event that the state does not take",
		Explanation: "A watcher fires an event in a state in which no transition takes it: what it finds there is " +
			"lost. Without a format it is a note where the watcher has another event that the state takes.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: up
transitions:
  - {name: broke, from: [up], destination: down}
  - {name: mended, from: [down], destination: up}
watchers:
  - {name: check, type: exec, state_match: [up, down], interval: 10s, fail_transition: broke, properties: {command: ./check}}
  - {name: repair, type: exec, state_match: [down], interval: 1m, success_transition: mended, properties: {command: ./repair}}
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
		Code: "SC412", Title: "transition that nothing fires",
		Explanation: "No watcher, deadline or subscription fires the event. That is as it should be where an operator " +
			"is to.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: up
states:
  up: {home: true}
  stopped: {home: true}
transitions:
  - {name: broke, from: [up], destination: down}
  - {name: mended, from: [down], destination: up}
  - {name: stop, from: [up], destination: stopped}
  - {name: mended, from: [stopped], destination: up}
watchers:
  - {name: check, type: exec, state_match: [up], interval: 10s, fail_transition: broke, properties: {command: ./check}}
  - {name: repair, type: exec, state_match: [down], interval: 1m, success_transition: mended, properties: {command: ./repair}}
`,
		Good: `format: 1
name: web
version: 1.0.0
initial_state: up
transitions:
  - {name: broke, from: [up], destination: down}
  - {name: mended, from: [down], destination: up}
watchers:
  - {name: check, type: exec, state_match: [up], interval: 10s, fail_transition: broke, on: {timeout: broke}, properties: {command: ./check}}
  - {name: repair, type: exec, state_match: [down], interval: 1m, success_transition: mended, properties: {command: ./repair}}
`,
	},
	{
		Code: "SC413", Title: "way out of a final state",
		Explanation: "A machine that has come into a final state has ended; no transition or deadline leaves it.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: up
states:
  gone: {final: failure}
transitions:
  - {name: broke, from: [up], destination: down}
  - {name: mended, from: [down, gone], destination: up}
  - {name: lost, from: [down], destination: gone}
watchers:
  - {name: check, type: exec, state_match: [up], interval: 10s, fail_transition: broke, properties: {command: ./check}}
  - {name: repair, type: exec, state_match: [down], interval: 1m, success_transition: mended, fail_transition: lost, properties: {command: ./repair}}
`,
		Good: `format: 1
name: web
version: 1.0.0
initial_state: up
states:
  gone: {final: failure}
transitions:
  - {name: broke, from: [up], destination: down}
  - {name: mended, from: [down], destination: up}
  - {name: lost, from: [down], destination: gone}
watchers:
  - {name: check, type: exec, state_match: [up], interval: 10s, fail_transition: broke, properties: {command: ./check}}
  - {name: repair, type: exec, state_match: [down], interval: 1m, success_transition: mended, fail_transition: lost, properties: {command: ./repair}}
`,
	},
	{
		Code: "SC414", Title: "watcher in a final state",
		Explanation: "A machine that has come into a final state has ended; no watcher runs there.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: up
states:
  gone: {final: failure}
transitions:
  - {name: broke, from: [up], destination: down}
  - {name: mended, from: [down], destination: up}
  - {name: lost, from: [down], destination: gone}
watchers:
  - {name: check, type: exec, state_match: [up], interval: 10s, fail_transition: broke, properties: {command: ./check}}
  - {name: repair, type: exec, state_match: [down, gone], success_transition: mended, fail_transition: lost, properties: {command: ./repair}}
`,
		Good: `format: 1
name: web
version: 1.0.0
initial_state: up
states:
  gone: {final: failure}
transitions:
  - {name: broke, from: [up], destination: down}
  - {name: mended, from: [down], destination: up}
  - {name: lost, from: [down], destination: gone}
watchers:
  - {name: check, type: exec, state_match: [up], interval: 10s, fail_transition: broke, properties: {command: ./check}}
  - {name: repair, type: exec, state_match: [down], interval: 1m, success_transition: mended, fail_transition: lost, properties: {command: ./repair}}
`,
	},
	{
		Code: "SC415", Title: "upgrade to an unknown state",
		Explanation: "The upgrade maps a state of an earlier version to one that this version does not have.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: ./check}}
upgrade: {map: {waiting: idel}}
`,
		Good: `format: 1
name: web
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: ./check}}
upgrade: {map: {waiting: idle}}
`,
	},
	{
		Code: "SC416", Title: "deadline that the state does not take",
		Explanation: "The event of a deadline has no transition that leaves the state it belongs to.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: up
states:
  down: {after: {5m: broke}}
transitions:
  - {name: broke, from: [up], destination: down}
  - {name: mended, from: [down], destination: up}
watchers:
  - {name: check, type: exec, state_match: [up], interval: 10s, fail_transition: broke, properties: {command: ./check}}
  - {name: repair, type: exec, state_match: [down], interval: 1m, success_transition: mended, properties: {command: ./repair}}
`,
		Good: `format: 1
name: web
version: 1.0.0
initial_state: up
states:
  down: {after: {5m: mended}}
transitions:
  - {name: broke, from: [up], destination: down}
  - {name: mended, from: [down], destination: up}
watchers:
  - {name: check, type: exec, state_match: [up], interval: 10s, fail_transition: broke, properties: {command: ./check}}
  - {name: repair, type: exec, state_match: [down], interval: 1m, success_transition: mended, properties: {command: ./repair}}
`,
	},
	{
		Code: "SC417", Title: "announcement of what is never published",
		Explanation: "Only a change of state is published. A transition that stays where it is says announce in vain.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: up
data:
  checks: {type: integer, default: 0}
transitions:
  - {name: checked, from: [up], destination: up, announce: false, set: {checks: data.checks + 1}}
watchers:
  - {name: check, type: exec, state_match: [up], interval: 10s, success_transition: checked, properties: {command: ./check}}
`,
		Good: `format: 1
name: web
version: 1.0.0
initial_state: up
data:
  checks: {type: integer, default: 0}
transitions:
  - {name: checked, from: [up], destination: up, set: {checks: data.checks + 1}}
watchers:
  - {name: check, type: exec, state_match: [up], interval: 10s, success_transition: checked, properties: {command: ./check}}
`,
	},
	{
		Code: "SC418", Title: "state matched twice",
		Explanation: "A watcher names one state twice in state_match.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: up
transitions:
  - {name: broke, from: [up], destination: down}
  - {name: mended, from: [down], destination: up}
watchers:
  - {name: check, type: exec, state_match: [up], interval: 10s, fail_transition: broke, properties: {command: ./check}}
  - {name: repair, type: exec, state_match: [down, down], success_transition: mended, properties: {command: ./repair}}
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
}
