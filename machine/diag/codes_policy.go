package diag

// policyEntries documents the codes of the policy watcher's properties.
var policyEntries = []Entry{
	{
		Code: "SC395", Title: "Rego",
		Explanation: "The policy cannot be compiled, neither as Rego v1 nor as v0, or calls a function that policies are not given, such as " +
			"http.send. What a policy is to know is put into input.",
		Bad: `format: 1
name: placing
version: 1.0.0
initial_state: asking
states: {placed: {final: success}, refused: {final: failure}}
transitions:
  - {name: place, from: [asking], destination: placed}
  - {name: refuse, from: [asking], destination: refused}
watchers:
  - name: decide
    type: policy
    success_transition: place
    fail_transition: refuse
    on: {denied: refuse}
    properties:
      input: "{name: identity}"
      policy: |
        package statecraft
        allow if http.send({"url": input.name}).status_code == 200
`,
		Good: `format: 1
name: placing
version: 1.0.0
initial_state: asking
states: {placed: {final: success}, refused: {final: failure}}
transitions:
  - {name: place, from: [asking], destination: placed}
  - {name: refuse, from: [asking], destination: refused}
watchers:
  - name: decide
    type: policy
    success_transition: place
    fail_transition: refuse
    on: {denied: refuse}
    properties:
      input: "{name: identity}"
      policy: |
        package statecraft
        allow if startswith(input.name, "web")
`,
	},
	{
		Code: "SC396", Title: "source of a policy",
		Explanation: "The Rego text stands below policy, or in a file of the machine's directory that file names. One of the two is needed.",
		Bad: `format: 1
name: placing
version: 1.0.0
initial_state: asking
states: {placed: {final: success}, refused: {final: failure}}
transitions:
  - {name: place, from: [asking], destination: placed}
  - {name: refuse, from: [asking], destination: refused}
watchers:
  - {name: decide, type: policy, success_transition: place, fail_transition: refuse, on: {denied: refuse}, properties: {input: identity}}
`,
		Good: `format: 1
name: placing
version: 1.0.0
initial_state: asking
states: {placed: {final: success}, refused: {final: failure}}
transitions:
  - {name: place, from: [asking], destination: placed}
  - {name: refuse, from: [asking], destination: refused}
watchers:
  - {name: decide, type: policy, success_transition: place, fail_transition: refuse, on: {denied: refuse}, properties: {input: identity, file: placing.rego}}
`,
	},
	{
		Code: "SC397", Title: "query of a policy",
		Explanation: "The query is one Rego expression, such as data.placing.allow. It asks for a rule that the policy has: one that it has not would " +
			"never be in favour.",
		Bad: `format: 1
name: placing
version: 1.0.0
initial_state: asking
states: {placed: {final: success}, refused: {final: failure}}
transitions:
  - {name: place, from: [asking], destination: placed}
  - {name: refuse, from: [asking], destination: refused}
watchers:
  - name: decide
    type: policy
    success_transition: place
    fail_transition: refuse
    on: {denied: refuse}
    properties:
      query: data.placement.allow
      input: "{name: identity}"
      policy: |
        package placing
        allow if startswith(input.name, "web")
`,
		Good: `format: 1
name: placing
version: 1.0.0
initial_state: asking
states: {placed: {final: success}, refused: {final: failure}}
transitions:
  - {name: place, from: [asking], destination: placed}
  - {name: refuse, from: [asking], destination: refused}
watchers:
  - name: decide
    type: policy
    success_transition: place
    fail_transition: refuse
    on: {denied: refuse}
    properties:
      query: data.placing.allow
      input: "{name: identity}"
      policy: |
        package placing
        allow if startswith(input.name, "web")
`,
	},
	{
		Code: "SC398", Title: "file of a policy",
		Explanation: "The file of a policy lies in the machine's directory, where the machine's signature covers it.",
		Bad: `format: 1
name: placing
version: 1.0.0
initial_state: asking
states: {placed: {final: success}, refused: {final: failure}}
transitions:
  - {name: place, from: [asking], destination: placed}
  - {name: refuse, from: [asking], destination: refused}
watchers:
  - {name: decide, type: policy, success_transition: place, fail_transition: refuse, on: {denied: refuse}, properties: {file: /etc/placing.rego}}
`,
		Good: `format: 1
name: placing
version: 1.0.0
initial_state: asking
states: {placed: {final: success}, refused: {final: failure}}
transitions:
  - {name: place, from: [asking], destination: placed}
  - {name: refuse, from: [asking], destination: refused}
watchers:
  - {name: decide, type: policy, success_transition: place, fail_transition: refuse, on: {denied: refuse}, properties: {file: placing.rego}}
`,
	},
}
