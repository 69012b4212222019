package diag

// watcherEntries documents the codes of watchers of every type.
var watcherEntries = []Entry{
	{
		Code: "SC201", Title: "unknown type",
		Explanation: "There is no type of watcher with this name.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exce, interval: 10s, success_transition: done, properties: {command: ./check}}
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
		Code: "SC202", Title: "type that is not supported",
		Explanation: "Choria has this type; it does not exist here. The hint says what to use in its place.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: homekit, interval: 10s, success_transition: done, properties: {command: ./check}}
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
		Code: "SC203", Title: "two watchers of one name",
		Explanation: "Events, metrics and records name the watcher, so that each name can be given once.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: ./check}}
  - {name: check, type: exec, interval: 1m, success_transition: done, properties: {command: ./other}}
`,
		Good: `format: 1
name: web
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: ./check}}
  - {name: other, type: exec, interval: 1m, success_transition: done, properties: {command: ./other}}
`,
	},
	{
		Code: "SC204", Title: "unknown outcome",
		Explanation: "The type of the watcher cannot report this outcome, so that the event would never fire.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, on: {tiemout: done}, properties: {command: ./check}}
`,
		Good: `format: 1
name: web
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, on: {timeout: done}, properties: {command: ./check}}
`,
	},
	{
		Code: "SC209", Title: "time-out longer than the interval",
		Explanation: "The next look is due before the running one must have ended. Looks do not overlap, so that some " +
			"are left out.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, timeout: 1m, properties: {command: ./check}}
`,
		Good: `format: 1
name: web
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, timeout: 8s, properties: {command: ./check}}
`,
	},
	{
		Code: "SC210", Title: "time-out longer than the state lasts",
		Explanation: "A deadline takes the machine out of the state before the look must have ended, so that its " +
			"time-out never counts.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: idle
states:
  idle: {after: {5s: done}}
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, timeout: 10s, properties: {command: ./check}}
`,
		Good: `format: 1
name: web
version: 1.0.0
initial_state: idle
states:
  idle: {after: {1m: done}}
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, timeout: 10s, properties: {command: ./check}}
`,
	},
	{
		Code: "SC211", Title: "watcher that never runs",
		Explanation: "None of the states in state_match can be reached, or what foreign_state_required asks for " +
			"cannot all be so.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, foreign_state_required: [{machine_name: db, state: up}, {machine_name: db, state: ready}], properties: {command: ./check}}
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
		Code: "SC212", Title: "secret in clear",
		Explanation: "Manifests are read, printed and sent to many hosts. A secret belongs into data or facts, from " +
			"where a template takes it.",
		Bad: `format: 1
name: tool
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - name: download
    type: archive
    interval: 1m
    success_transition: done
    properties: {source: "https://files.example.net/tool.tar.gz", target: tool, username: web, password: hunter2}
`,
		Good: `format: 1
name: tool
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - name: download
    type: archive
    interval: 1m
    success_transition: done
    properties:
      source: "https://files.example.net/tool.tar.gz"
      target: tool
      username: web
      password: '{{ lookup "data.password" "" }}'
`,
	},
}
