package diag

// groupEntries documents the codes of groups of states and of transitions that stay.
var groupEntries = []Entry{
	{
		Code: "SC121", Title: "entered again without a destination",
		Explanation: "A transition without a destination stays in whatever state the machine is, and nothing begins or ends there. " +
			"With reenter it would be a new visit, which only a transition with a destination can make.",
		Bad: `format: 1
name: door
version: 1.0.0
initial_state: closed
data:
  by: {type: string, default: nobody}
transitions:
  - {name: open, from: [closed], destination: opened, set: {by: event.payload.by}}
  - {name: close, from: [opened], destination: closed, clear: [by]}
  - {name: looked, from: [closed], reenter: true}
watchers:
  - {name: sensor, type: exec, state_match: [closed], interval: 10s, success_transition: open, fail_transition: looked, properties: {command: ./is-open}}
  - {name: closer, type: exec, state_match: [opened], interval: 10s, success_transition: close, properties: {command: ./is-closed}}
`,
		Good: `format: 1
name: door
version: 1.0.0
initial_state: closed
data:
  by: {type: string, default: nobody}
transitions:
  - {name: open, from: [closed], destination: opened, set: {by: event.payload.by}}
  - {name: close, from: [opened], destination: closed, clear: [by]}
  - {name: looked, from: [closed]}
watchers:
  - {name: sensor, type: exec, state_match: [closed], interval: 10s, success_transition: open, fail_transition: looked, properties: {command: ./is-open}}
  - {name: closer, type: exec, state_match: [opened], interval: 10s, success_transition: close, properties: {command: ./is-closed}}
`,
	},
	{
		Code: "SC122", Title: "key set and cleared",
		Explanation: "One transition both sets a key of data and clears it, or clears it twice.",
		Bad: `format: 1
name: door
version: 1.0.0
initial_state: closed
data:
  by: {type: string, default: nobody}
transitions:
  - {name: open, from: [closed], destination: opened, set: {by: event.payload.by}}
  - {name: close, from: [opened], destination: closed, set: {by: event.payload.by}, clear: [by]}
watchers:
  - {name: sensor, type: exec, state_match: [closed], interval: 10s, success_transition: open, properties: {command: ./is-open}}
  - {name: closer, type: exec, state_match: [opened], interval: 10s, success_transition: close, properties: {command: ./is-closed}}
`,
		Good: `format: 1
name: door
version: 1.0.0
initial_state: closed
data:
  by: {type: string, default: nobody}
transitions:
  - {name: open, from: [closed], destination: opened, set: {by: event.payload.by}}
  - {name: close, from: [opened], destination: closed, clear: [by]}
watchers:
  - {name: sensor, type: exec, state_match: [closed], interval: 10s, success_transition: open, properties: {command: ./is-open}}
  - {name: closer, type: exec, state_match: [opened], interval: 10s, success_transition: close, properties: {command: ./is-closed}}
`,
	},
	{
		Code: "SC123", Title: "group of states",
		Explanation: "A group is a name for states. It names at least one, no group contains itself, by way of others either, and none is " +
			"named like a state, since nobody could tell which is meant.",
		Bad: `format: 1
name: order
version: 1.0.0
initial_state: waiting
groups:
  busy: [packing, late]
  late: [sending, busy]
transitions:
  - {name: ordered, from: [waiting], destination: packing}
  - {name: packed, from: [packing], destination: sending}
  - {name: sent, from: [sending], destination: waiting}
  - {name: cancelled, from: [busy], destination: waiting}
watchers:
  - {name: orders, type: exec, state_match: [waiting], interval: 1m, success_transition: ordered, properties: {command: ./next-order}}
  - {name: pack, type: exec, state_match: [packing], success_transition: packed, properties: {command: ./pack}}
  - {name: send, type: exec, state_match: [sending], success_transition: sent, properties: {command: ./send}}
  - {name: recall, type: exec, state_match: [busy], interval: 1m, success_transition: cancelled, properties: {command: ./recalled}}
`,
		Good: `format: 1
name: order
version: 1.0.0
initial_state: waiting
groups:
  busy: [packing, late]
  late: [sending]
transitions:
  - {name: ordered, from: [waiting], destination: packing}
  - {name: packed, from: [packing], destination: sending}
  - {name: sent, from: [sending], destination: waiting}
  - {name: cancelled, from: [busy], destination: waiting}
watchers:
  - {name: orders, type: exec, state_match: [waiting], interval: 1m, success_transition: ordered, properties: {command: ./next-order}}
  - {name: pack, type: exec, state_match: [packing], success_transition: packed, properties: {command: ./pack}}
  - {name: send, type: exec, state_match: [sending], success_transition: sent, properties: {command: ./send}}
  - {name: recall, type: exec, state_match: [busy], interval: 1m, success_transition: cancelled, properties: {command: ./recalled}}
`,
	},
}
