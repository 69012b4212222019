package diag

// valueEntries documents the codes of keys and values of every document.
var valueEntries = []Entry{
	{
		Code: "SC020", Title: "unknown key",
		Explanation: "Nothing reads this key, most often because it is misspelled. Without a format it is a warning, " +
			"as Choria passes over it.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, intervall: 10s, success_transition: done, properties: {command: ./check}}
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
		Code: "SC021", Title: "missing key",
		Explanation: "A key that is always needed is not there.",
		Bad: `format: 1
name: web
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
		Code: "SC022", Title: "one key under two names",
		Explanation: "A key and its other name are both given, so that it is not clear which one counts.",
		Bad: `format: 1
name: motd
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - name: motd
    type: file
    success_transition: done
    properties: {path: motd, content: hello, contents: hello, owner: root, group: root, mode: "0644"}
`,
		Good: `format: 1
name: motd
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - name: motd
    type: file
    success_transition: done
    properties: {path: motd, contents: hello, owner: root, group: root, mode: "0644"}
`,
	},
	{
		Code: "SC023", Title: "wrong kind of value",
		Explanation: "A list stands where a single value belongs, or the other way round.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: idle, destination: idle}
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
		Code: "SC024", Title: "not a boolean or number",
		Explanation: "The value cannot be read as what the key takes. Booleans are true and false; yes, no, on and " +
			"off are words.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: idle
durable: no
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: ./check}}
`,
		Good: `format: 1
name: web
version: 1.0.0
initial_state: idle
durable: false
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: ./check}}
`,
	},
	{
		Code: "SC025", Title: "not a duration",
		Explanation: "Durations are numbers with units: 500ms, 30s, 5m, 1h30m, 2d, 1w. A number alone does not say of " +
			"what.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10, success_transition: done, properties: {command: ./check}}
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
		Code: "SC026", Title: "out of range",
		Explanation: "The value is smaller or larger than the key admits.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: idle
splay_start: -1
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: ./check}}
`,
		Good: `format: 1
name: web
version: 1.0.0
initial_state: idle
splay_start: 30
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: ./check}}
`,
	},
	{
		Code: "SC027", Title: "not one of the choices",
		Explanation: "The key takes one of a few words, and this is none of them.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, on_leave: stop, properties: {command: ./check}}
`,
		Good: `format: 1
name: web
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, on_leave: cancel, properties: {command: ./check}}
`,
	},
	{
		Code: "SC028", Title: "no value",
		Explanation: "The key or entry is there, but nothing is written behind it.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state:
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
}
