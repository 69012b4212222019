package diag

// documentEntries documents the codes of what a document must be before it is a manifest.
var documentEntries = []Entry{
	{
		Code: "SC001", Title: "not YAML",
		Explanation: "The text cannot be read as YAML at this place. A bracket, a quote or the indentation of the " +
			"lines above is the usual reason.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle, destination: idle}
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
		Code: "SC002", Title: "document too large",
		Explanation: "A document has at most 1 MiB. A manifest that a person can review is far below it.",
	},
	{
		Code: "SC003", Title: "not UTF-8",
		Explanation: "The text holds bytes that are not UTF-8, as an editor with another encoding writes them.",
		Bad: `format: 1
name: web # ` + "\xff" + `
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
		Code: "SC004", Title: "control character",
		Explanation: "A character that YAML does not allow stands in the text, often an invisible one that was pasted " +
			"with it.",
		Bad: `format: 1
name: web # ` + "\x01" + `
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
		Code: "SC005", Title: "byte order mark",
		Explanation: "The document begins with a byte order mark, which some editors add. It is read as if it were " +
			"not there.",
		Bad: "\ufeff" + `format: 1
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
		Code: "SC006", Title: "tab as indentation",
		Explanation: "YAML indents with spaces only; how wide a tab is differs between editors.",
		Bad: `format: 1
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
		Code: "SC007", Title: "several documents",
		Explanation: "A file holds one document. What follows a line of three dashes would be another machine.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: ./check}}
---
name: other
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
		Code: "SC008", Title: "empty document",
		Explanation: "The document has no content.",
		Bad: `# nothing here yet
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
		Code: "SC009", Title: "key written twice",
		Explanation: "One mapping has the same key twice. Readers differ in which one counts, so neither does.",
		Bad: `format: 1
name: web
version: 1.0.0
name: server
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
		Code: "SC010", Title: "anchor or alias",
		Explanation: "Anchors and aliases make a few bytes stand for many and hide what a place really says.",
		Bad: `format: 1
name: &name web
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: *name, type: exec, interval: 10s, success_transition: done, properties: {command: ./check}}
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
		Code: "SC011", Title: "merge key",
		Explanation: "The merge key is not part of YAML 1.2 and hides what a place really says.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, <<: {timeout: 5s}, interval: 10s, success_transition: done, properties: {command: ./check}}
`,
		Good: `format: 1
name: web
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, timeout: 5s, interval: 10s, success_transition: done, properties: {command: ./check}}
`,
	},
	{
		Code: "SC012", Title: "tag",
		Explanation: "Tags ask a reader to make special values. Quotes make text of anything.",
		Bad: `format: 1
name: web
version: !release 1.0.0
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
		Code: "SC013", Title: "key is not text",
		Explanation: "Keys are words. Numbers, booleans, lists and mappings cannot be keys; quotes make text of a " +
			"number.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: ./check, environment: {1: a}}}
`,
		Good: `format: 1
name: web
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: ./check, environment: ["A=1"]}}
`,
	},
	{
		Code: "SC014", Title: "nested too deep",
		Explanation: "Values are nested deeper than 64 levels.",
	},
	{
		Code: "SC015", Title: "too many values",
		Explanation: "A document holds at most 200,000 values.",
	},
}
