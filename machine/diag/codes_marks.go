package diag

// markEntries documents the codes of marks.
var markEntries = []Entry{
	{
		Code: "SC306", Title: "mark that cannot be read",
		Explanation: "In format 2 ${ begins an expression in a value of set or of a property, and } ends it. $${ is a literal ${.",
		Bad: `format: 2
name: web
version: 1.0.0
initial_state: idle
data:
  note: {type: string}
transitions:
  - {name: done, from: [idle], destination: idle, set: {note: "${ event.outcome"}}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: ./check}}
`,
		Good: `format: 2
name: web
version: 1.0.0
initial_state: idle
data:
  note: {type: string}
transitions:
  - {name: done, from: [idle], destination: idle, set: {note: "${ event.outcome }"}}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: ./check}}
`,
	},
	{
		Code: "SC307", Title: "mark where none is read",
		Explanation: "A condition (when, where, success_when and the like) is an expression as it stands; keys, and properties that are read " +
			"with the manifest, are literal.",
		Bad: `format: 2
name: web
version: 1.0.0
initial_state: idle
data:
  note: {type: string}
transitions:
  - name: done
    from: [idle]
    destination: idle
    when: ${ data.note == nil }
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: ./check}}
`,
		Good: `format: 2
name: web
version: 1.0.0
initial_state: idle
data:
  note: {type: string}
transitions:
  - name: done
    from: [idle]
    destination: idle
    when: data.note == nil
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: ./check}}
`,
	},
	{
		Code: "SC308", Title: "template in format 2",
		Explanation: "Values are filled in by ${ }; statecraft fmt --write makes them of templates. For two braces as they are write ${\"{{\"}.",
		Bad: `format: 2
name: web
version: 1.0.0
initial_state: idle
data:
  note: {type: string}
transitions:
  - {name: done, from: [idle], destination: idle, set: {note: '{{ lookup "data.note" "" }}'}}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: ./check}}
`,
		Good: `format: 2
name: web
version: 1.0.0
initial_state: idle
data:
  note: {type: string}
transitions:
  - {name: done, from: [idle], destination: idle, set: {note: '${ data.note }'}}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: ./check}}
`,
	},
	{
		Code: "SC309", Title: "literal that looks like an expression",
		Explanation: "What has no mark is literal. Where the text itself is meant write it as an expression, such as ${ \"data.note\" }.",
		Bad: `format: 2
name: web
version: 1.0.0
initial_state: idle
data:
  note: {type: string}
transitions:
  - {name: done, from: [idle], destination: idle, set: {note: event.outcome}}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: ./check}}
`,
		Good: `format: 2
name: web
version: 1.0.0
initial_state: idle
data:
  note: {type: string}
transitions:
  - {name: done, from: [idle], destination: idle, set: {note: '${ event.outcome }'}}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: ./check}}
`,
	},
}
