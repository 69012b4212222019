package diag

// expressionEntries documents the codes of guards, assignments and templates.
var expressionEntries = []Entry{
	{
		Code: "SC301", Title: "expression",
		Explanation: "The expression cannot be compiled, or gives another type than is needed here: guards are true " +
			"or false.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: idle
data:
  count: {type: integer, default: 0}
transitions:
  - {name: done, from: [idle], destination: idle, when: data.count}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: ./check}}
`,
		Good: `format: 1
name: web
version: 1.0.0
initial_state: idle
data:
  count: {type: integer, default: 0}
transitions:
  - {name: done, from: [idle], destination: idle, when: data.count < 5}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: ./check}}
`,
	},
	{
		Code: "SC302", Title: "unknown name in an expression",
		Explanation: "Expressions see event, data, input, state and at, and of data what is declared. Functions that " +
			"read a clock or depend on chance are off, so that a replay decides as the machine did.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: idle
data:
  count: {type: integer, default: 0}
transitions:
  - {name: done, from: [idle], destination: idle, when: data.cuont < 5}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: ./check}}
`,
		Good: `format: 1
name: web
version: 1.0.0
initial_state: idle
data:
  count: {type: integer, default: 0}
transitions:
  - {name: done, from: [idle], destination: idle, when: data.count < 5}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: ./check}}
`,
	},
	{
		Code: "SC303", Title: "set writes an unknown key",
		Explanation: "Where data is declared, set writes only what is.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: idle
data:
  count: {type: integer, default: 0}
transitions:
  - {name: done, from: [idle], destination: idle, set: {cuont: data.count + 1}}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: ./check}}
`,
		Good: `format: 1
name: web
version: 1.0.0
initial_state: idle
data:
  count: {type: integer, default: 0}
transitions:
  - {name: done, from: [idle], destination: idle, set: {count: data.count + 1}}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: ./check}}
`,
	},
	{
		Code: "SC304", Title: "set writes another type",
		Explanation: "The expression gives a type that the key cannot hold.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: idle
data:
  count: {type: integer, default: 0}
transitions:
  - {name: done, from: [idle], destination: idle, set: {count: string(data.count)}}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: ./check}}
`,
		Good: `format: 1
name: web
version: 1.0.0
initial_state: idle
data:
  count: {type: integer, default: 0}
transitions:
  - {name: done, from: [idle], destination: idle, set: {count: data.count + 1}}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: ./check}}
`,
	},
}
