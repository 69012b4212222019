package diag

// setEntries documents the codes of machines that run together.
var setEntries = []Entry{
	{
		Code: "SC501", Title: "machine that is not in the set",
		Explanation: "A subscription or foreign_state_required names a machine that was not checked together with " +
			"this one. Check all machines of a host in one go.",
		Bad: `-- app/machine.yaml --
format: 1
name: app
version: 1.0.0
initial_state: idle
transitions:
  - {name: restart, from: [idle], destination: idle, subscribe: [{machine_name: wbe, event: done}]}
watchers:
  - name: health
    type: exec
    interval: 10s
    foreign_state_required: [{machine_name: web, state: idle}]
    success_transition: restart
    properties: {command: ./health}
-- web/machine.yaml --
format: 1
name: web
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: ./check}}
`,
		Good: `-- app/machine.yaml --
format: 1
name: app
version: 1.0.0
initial_state: idle
transitions:
  - {name: restart, from: [idle], destination: idle, subscribe: [{machine_name: web, event: done}]}
watchers:
  - name: health
    type: exec
    interval: 10s
    foreign_state_required: [{machine_name: web, state: idle}]
    success_transition: restart
    properties: {command: ./health}
-- web/machine.yaml --
format: 1
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
		Code: "SC502", Title: "event that the other machine does not have",
		Explanation: "A subscription waits for an event that the other machine has no transition for.",
		Bad: `-- app/machine.yaml --
format: 1
name: app
version: 1.0.0
initial_state: idle
transitions:
  - {name: restart, from: [idle], destination: idle, subscribe: [{machine_name: web, event: dnoe}]}
watchers:
  - name: health
    type: exec
    interval: 10s
    foreign_state_required: [{machine_name: web, state: idle}]
    success_transition: restart
    properties: {command: ./health}
-- web/machine.yaml --
format: 1
name: web
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: ./check}}
`,
		Good: `-- app/machine.yaml --
format: 1
name: app
version: 1.0.0
initial_state: idle
transitions:
  - {name: restart, from: [idle], destination: idle, subscribe: [{machine_name: web, event: done}]}
watchers:
  - name: health
    type: exec
    interval: 10s
    foreign_state_required: [{machine_name: web, state: idle}]
    success_transition: restart
    properties: {command: ./health}
-- web/machine.yaml --
format: 1
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
		Code: "SC503", Title: "state that the other machine does not have",
		Explanation: "foreign_state_required waits for a state that the other machine does not have.",
		Bad: `-- app/machine.yaml --
format: 1
name: app
version: 1.0.0
initial_state: idle
transitions:
  - {name: restart, from: [idle], destination: idle, subscribe: [{machine_name: web, event: done}]}
watchers:
  - name: health
    type: exec
    interval: 10s
    foreign_state_required: [{machine_name: web, state: idel}]
    success_transition: restart
    properties: {command: ./health}
-- web/machine.yaml --
format: 1
name: web
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: ./check}}
`,
		Good: `-- app/machine.yaml --
format: 1
name: app
version: 1.0.0
initial_state: idle
transitions:
  - {name: restart, from: [idle], destination: idle, subscribe: [{machine_name: web, event: done}]}
watchers:
  - name: health
    type: exec
    interval: 10s
    foreign_state_required: [{machine_name: web, state: idle}]
    success_transition: restart
    properties: {command: ./health}
-- web/machine.yaml --
format: 1
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
		Code: "SC504", Title: "two machines of one name",
		Explanation: "Events, records and files name the machine, so that each name can be given once on a host.",
		Bad: `-- web/machine.yaml --
format: 1
name: web
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: ./check}}
-- other/machine.yaml --
format: 1
name: web
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: ./check}}
`,
		Good: `-- web/machine.yaml --
format: 1
name: web
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: ./check}}
-- other/machine.yaml --
format: 1
name: other
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: ./check}}
`,
	},
	{
		Code: "SC505", Title: "two machines that write one file",
		Explanation: "Both machines would undo what the other has written, forever.",
		Bad: `-- one/machine.yaml --
format: 1
name: one
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - name: motd
    type: file
    success_transition: done
    properties: {path: /etc/motd, contents: hello, owner: root, group: root, mode: "0644"}
-- two/machine.yaml --
format: 1
name: two
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - name: motd
    type: file
    success_transition: done
    properties: {path: /etc/motd, contents: hello, owner: root, group: root, mode: "0644"}
`,
		Good: `-- one/machine.yaml --
format: 1
name: one
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - name: motd
    type: file
    success_transition: done
    properties: {path: /etc/motd, contents: hello, owner: root, group: root, mode: "0644"}
-- two/machine.yaml --
format: 1
name: two
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - name: motd
    type: file
    success_transition: done
    properties: {path: /etc/issue, contents: hello, owner: root, group: root, mode: "0644"}
`,
	},
	{
		Code: "SC506", Title: "machines that answer each other without a pause",
		Explanation: "Each takes an event because the other has taken one, in a circle: one event keeps both turning as fast as their brakes allow. Let one of them lead, or let " +
			"time pass between. A max_rate says that it is meant.",
		Bad: `-- ping/machine.yaml --
format: 1
name: ping
version: 1.0.0
initial_state: low
states: {low: {home: true}, high: {home: true}}
transitions:
  - {name: up, from: [low], destination: high, subscribe: [{machine_name: pong, event: down}]}
  - {name: down, from: [high], destination: low, subscribe: [{machine_name: pong, event: up}]}
watchers:
  - {name: hourly, type: timer, state_match: [low], fail_transition: up, properties: {timer: 1h}}
  - {name: later, type: timer, state_match: [high], fail_transition: down, properties: {timer: 1h}}
-- pong/machine.yaml --
format: 1
name: pong
version: 1.0.0
initial_state: low
states: {low: {home: true}, high: {home: true}}
transitions:
  - {name: up, from: [low], destination: high, subscribe: [{machine_name: ping, event: up}]}
  - {name: down, from: [high], destination: low, subscribe: [{machine_name: ping, event: down}]}
watchers:
  - {name: hourly, type: timer, state_match: [high], fail_transition: down, properties: {timer: 1h}}
`,
		Good: `-- ping/machine.yaml --
format: 1
name: ping
version: 1.0.0
initial_state: low
states: {low: {home: true}, high: {home: true}}
transitions:
  - {name: up, from: [low], destination: high}
  - {name: down, from: [high], destination: low}
watchers:
  - {name: hourly, type: timer, state_match: [low], fail_transition: up, properties: {timer: 1h}}
  - {name: later, type: timer, state_match: [high], fail_transition: down, properties: {timer: 1h}}
-- pong/machine.yaml --
format: 1
name: pong
version: 1.0.0
initial_state: low
states: {low: {home: true}, high: {home: true}}
transitions:
  - {name: up, from: [low], destination: high, subscribe: [{machine_name: ping, event: up}]}
  - {name: down, from: [high], destination: low, subscribe: [{machine_name: ping, event: down}]}
watchers:
  - {name: hourly, type: timer, state_match: [high], fail_transition: down, properties: {timer: 1h}}
`,
	},
	{
		Code: "SC510", Title: "watcher that has nothing to work with",
		Explanation: "Only check --on finds it: the program that the machine is to run in does not have what a watcher of this type needs. " +
			"Nodes have a connection to their cell and may say and hear what is theirs, but may not use its key-value buckets and streams; " +
			"statecraft run has no connection at all.",
	},
}
