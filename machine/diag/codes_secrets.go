package diag

// secretsEntries documents the codes of secrets that would not stay so.
var secretsEntries = []Entry{
	{
		Code: "SC118", Title: "secret default",
		Explanation: "Data that is secret has a default. Manifests are read, printed and sent to many hosts; what they say is no secret.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: idle
data:
  password: {type: string, default: hunter2, secret: true}
transitions:
  - {name: tick, from: [idle], destination: idle}
watchers:
  - {name: clock, type: timer, fail_transition: tick, properties: {timer: 1m}}
`,
		Good: `format: 1
name: web
version: 1.0.0
initial_state: idle
data:
  password: {type: string, default: "", secret: true}
transitions:
  - {name: tick, from: [idle], destination: idle}
watchers:
  - {name: clock, type: timer, fail_transition: tick, properties: {timer: 1m}}
`,
	},
	{
		Code: "SC213", Title: "path of a secret",
		Explanation: "secret and secret_input name values by the keys that lead to them. A path that is none, or that begins with a field " +
			"which the events of the watcher's type do not carry, would leave the secret that was meant in clear.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: idle
secret_input: [body..token]
transitions:
  - {name: tick, from: [idle], destination: idle}
watchers:
  - {name: clock, type: timer, fail_transition: tick, properties: {timer: 1m}}
`,
		Good: `format: 1
name: web
version: 1.0.0
initial_state: idle
secret_input: [body.token]
transitions:
  - {name: tick, from: [idle], destination: idle}
watchers:
  - {name: clock, type: timer, fail_transition: tick, properties: {timer: 1m}}
`,
	},
	{
		Code: "SC214", Title: "secret in a command line",
		Explanation: "The arguments of a program are shown to every user of the host for as long as it runs. Its environment and its standard " +
			"input are not.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: idle
data:
  password: {type: string, default: "", secret: true}
transitions:
  - {name: tick, from: [idle], destination: idle}
watchers:
  - name: login
    type: exec
    success_transition: tick
    properties: {command: './login --password {{ lookup "data.password" "" }}'}
`,
		Good: `format: 1
name: web
version: 1.0.0
initial_state: idle
data:
  password: {type: string, default: "", secret: true}
transitions:
  - {name: tick, from: [idle], destination: idle}
watchers:
  - name: login
    type: exec
    success_transition: tick
    properties: {command: ./login, input: data.password}
`,
	},
	{
		Code: "SC305", Title: "secret into data that is none",
		Explanation: "A set reads a secret - data, a field of a payload or a part of the input - and writes into data that is not declared as " +
			"one. It would be recorded and shown in clear there.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: idle
data:
  password: {type: string, default: "", secret: true}
  login: {type: string, default: ""}
transitions:
  - {name: tick, from: [idle], destination: idle, set: {login: '"web:" + data.password'}}
watchers:
  - {name: clock, type: timer, fail_transition: tick, properties: {timer: 1m}}
`,
		Good: `format: 1
name: web
version: 1.0.0
initial_state: idle
data:
  password: {type: string, default: "", secret: true}
  login: {type: string, default: "", secret: true}
transitions:
  - {name: tick, from: [idle], destination: idle, set: {login: '"web:" + data.password'}}
watchers:
  - {name: clock, type: timer, fail_transition: tick, properties: {timer: 1m}}
`,
	},
}
