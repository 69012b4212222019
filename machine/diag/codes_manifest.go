package diag

// manifestEntries documents the codes of the keys of a manifest.
var manifestEntries = []Entry{
	{
		Code: "SC101", Title: "name of the machine",
		Explanation: "The name becomes part of file names and subjects: a letter, then letters, digits, _ and -, at " +
			"most 64 in all.",
		Bad: `format: 1
name: web/server
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: ./check}}
`,
		Good: `format: 1
name: web-server
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: ./check}}
`,
	},
	{
		Code: "SC102", Title: "version",
		Explanation: "The version has three numbers (https://semver.org), so that everybody orders versions in the " +
			"same way.",
		Bad: `format: 1
name: web
version: "1.0"
initial_state: idle
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
		Code: "SC103", Title: "unknown format",
		Explanation: "The manifest is written for another release. There are the formats 1 and 2, which differ in how expressions in values are written; " +
			"a manifest without the key is read as Choria reads it.",
		Bad: `format: 3
name: web
version: 1.0.0
initial_state: idle
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
		Code: "SC119", Title: "another release",
		Explanation: "The manifest requires another release of the program than this one, which is older than the first that can run it (too_old), or not below the " +
			"bound that its author has set (too_new). Nothing else of it is read, as what a later " +
			"release has added would only be called unknown.",
		Bad: `format: 1
requires: ">=999"
name: web
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: ./check}}
`,
		Good: `format: 1
requires: ">=0.1"
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
		Code: "SC104", Title: "reserved key",
		Explanation: "The key will have a meaning in a later release. A machine that needs it must not run without " +
			"it.",
		Bad: `format: 1
name: web
kind: workflow
version: 1.0.0
initial_state: idle
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
		Code: "SC105", Title: "rate",
		Explanation: "A rate is a whole number of events in a second, a minute or an hour, or none.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: idle
max_rate: 10 per second
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: ./check}}
`,
		Good: `format: 1
name: web
version: 1.0.0
initial_state: idle
max_rate: 10/s
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: ./check}}
`,
	},
	{
		Code: "SC106", Title: "name of a data key",
		Explanation: "Expressions read data keys as data.name, so that a key is a letter or _ and then letters, " +
			"digits and _.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: idle
data:
  fail-count: {type: integer}
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: ./check}}
`,
		Good: `format: 1
name: web
version: 1.0.0
initial_state: idle
data:
  fail_count: {type: integer}
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: ./check}}
`,
	},
	{
		Code: "SC107", Title: "default of another type",
		Explanation: "The default of a data key is not of the type that the key declares.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: idle
data:
  failures: {type: integer, default: none}
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: ./check}}
`,
		Good: `format: 1
name: web
version: 1.0.0
initial_state: idle
data:
  failures: {type: integer, default: 0}
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: ./check}}
`,
	},
	{
		Code: "SC108", Title: "name",
		Explanation: "States, events and watchers are a letter, then letters, digits, _ and -, at most 64 in all.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: idle
transitions:
  - {name: done!, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done!, properties: {command: ./check}}
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
		Code: "SC109", Title: "deadline",
		Explanation: "A deadline is a time longer than nothing and an event. A state has at most 64, each at a time " +
			"of its own.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: idle
states:
  idle: {after: {0s: done}}
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: ./check}}
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
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: ./check}}
`,
	},
	{
		Code: "SC110", Title: "sources and destination",
		Explanation: "A transition leaves at least one state, and leads to exactly one.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [], destination: idle}
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
		Code: "SC111", Title: "range of versions",
		Explanation: "The versions that an upgrade is for are bounds such as \">=1.0\", several with commas between " +
			"them. The releases of the program that a manifest requires are \">=0.2\" or \">=0.2, <1\".",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: ./check}}
upgrade: {from: older, map: {waiting: idle}}
`,
		Good: `format: 1
name: web
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: ./check}}
upgrade: {from: ">=0.9", map: {waiting: idle}}
`,
	},
	{
		Code: "SC113", Title: "nothing to do",
		Explanation: "A machine needs a transition, and without a format also a watcher, as in Choria.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: idle
transitions: []
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
		Code: "SC114", Title: "interval too short",
		Explanation: "Looks are at least 500 milliseconds apart; whatever is faster would cost more than it finds.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 100ms, success_transition: done, properties: {command: ./check}}
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
		Code: "SC115", Title: "announce_interval too short",
		Explanation: "States are announced at most once a minute. Changes are announced at once in any case.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, announce_interval: 10s, properties: {command: ./check}}
`,
		Good: `format: 1
name: web
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, announce_interval: 5m, properties: {command: ./check}}
`,
	},
	{
		Code: "SC116", Title: "retry without an end",
		Explanation: "A retry without max never gives up, so that its failure is never an event.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, retry: {backoff: 1s..1m}, properties: {command: ./check}}
`,
		Good: `format: 1
name: web
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, retry: {max: 3, backoff: 1s..1m}, properties: {command: ./check}}
`,
	},
	{
		Code: "SC117", Title: "back-off",
		Explanation: "The back-off is the first and the longest pause between tries.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, retry: {max: 3, backoff: 1m..1s}, properties: {command: ./check}}
`,
		Good: `format: 1
name: web
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, retry: {max: 3, backoff: 1s..1m}, properties: {command: ./check}}
`,
	},
}
