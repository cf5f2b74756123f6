# Completion of bash for pm and the tools: verbs, options and their values, apps, and what a chain goes on with.
# shellcheck shell=bash

# A line for each option: whose it is, its name, its letter, its values, what is named behind it, what it does.
# Made of the tables of the tools: cargo test -p pm-tests --test generated -- --ignored
_pm_table='
# table
pm-fork	BEHIND	.	.	CHAIN	Becomes a background service with a name and log files, then runs CHAIN.
pm-fork	--name	.	NAME	.	the app'\''s name [after the first file in CHAIN]
pm-fork	--namespace	.	NAME	.	its group of apps [default]
pm-fork	--cwd	.	DIR	.	the directory to run in [this one]
pm-fork	--out	.	FILE	.	append stdout to FILE [out.log of the app]
pm-fork	--err	.	FILE	.	append stderr to FILE [err.log of the app]
pm-fork	--wait	.	ready|started|none	.	return when it is ready, started; none: at once [ready]
pm-fork	--timeout	.	TIME	.	wait no longer, and exit 124 [30s]
pm-fork	--file	-f	FILE|-	.	start the apps of an ecosystem file
pm-fork	--only	.	A,B	.	of the file: these apps
pm-fork	--env	.	NAME	.	of the file: env_NAME over env
pm-fork	--set	.	KEY=VALUE	.	a field of PM2'\''s for each app, over what the file says
pm-fork	--update	.	.	.	say what the file changes of apps that run, and write their variables
pm-fork	--force	.	.	.	an app whose name runs gets a number behind its name
pm-fork	--dry-run	.	.	.	start nothing, print what would be
pm-fork	--again	.	.	APP	start stopped apps as they were started before
pm-fork	--update-env	.	.	.	with --again, --signal HUP: in this environment
pm-fork	--restart	.	.	.	with --again or -f: stop first what runs, if it can be started again
pm-fork	--signal	.	SIG	APP	send the apps'\'' outermost processes a signal
pm-fork	--send	.	LINE	APP	write a line to what the apps read, in fork mode
pm-fork	--stop	.	.	APP	end apps, and what killed supervisors left of them
pm-fork	--workers	.	.	.	with --signal: their workers, instead
pm-fork	--scale	.	N|+N|-N	APP	have so many workers, or so many more or fewer
pm-fork	--reset	.	.	APP	count the restarts from 0 on
pm-fork	--flush	.	.	APP	empty the logs
pm-fork	--logs	.	.	APP	print of each log: app, stream, slot, text or json, file
pm-fork	--remove	.	.	APP	forget stopped apps, and delete their logs
pm-fork	--save	.	.	.	print all apps as -f takes them
pm-fork	--keep	.	.	.	what --save printed, on stdin, becomes the saved list
pm-fork	--help	-h	.	.	what there is
pm-fork	--version	-V	.	.	the version
pm-log	BEHIND	.	.	CHAIN	Writes the lines of CHAIN, or of its input, to files that it rotates.
pm-log	--out	.	FILE	.	where stdout goes [out.log of the app, else stdout]
pm-log	--err	.	FILE	.	where stderr goes [err.log of the app, else stderr]
pm-log	--both	.	FILE	.	where both go, beside these
pm-log	--time	.	.	.	put the time (UTC) in front of each line
pm-log	--json	.	.	.	write each line as a JSON object
pm-log	--max-size	.	SIZE	.	rotate a file before it is larger than this
pm-log	--every	.	DURATION	.	rotate at each new period: 1d is at midnight UTC
pm-log	--keep	.	N	.	rotated files that are kept: FILE.1 to FILE.N [10]
pm-log	--help	-h	.	.	what there is
pm-log	--version	-V	.	.	the version
pm-restart	BEHIND	.	.	CHAIN	Restarts CHAIN when it ends or grows too fat; of a pm-cluster, each worker.
pm-restart	--name	.	NAME	.	the app'\''s name (derived from CHAIN)
pm-restart	--max-mem	.	SIZE	.	most memory of a worker'\''s processes: 512M, 2G (none)
pm-restart	--max-lag	.	TIME	.	longest wait of a pm-cluster worker'\''s clients (none)
pm-restart	--restart	.	always|on-failure|never	.	always, on-failure or never (always)
pm-restart	--stop-codes	.	LIST	.	exit codes after which it is not restarted: 0,3
pm-restart	--backoff	.	FIRST..LONGEST	.	delay between failed starts, doubling (100ms..15s)
pm-restart	--restart-delay	.	TIME|FIRST..LONGEST	.	instead: exactly this before each; MIN..MAX: growing
pm-restart	--stable	.	TIME	.	up this long, earlier failures are forgotten (10s)
pm-restart	--intensity	.	N/TIME	.	more restarts than N within TIME: give up (16/60s)
pm-restart	--grace	.	TIME	.	from the stop signal to KILL (8s)
pm-restart	--stop-delay	.	TIME	.	after TERM workers go on serving for this long (0s)
pm-restart	--stop-signal	.	SIG|message	.	asks a worker to stop; message: '\''shutdown'\'' (TERM)
pm-restart	--stop-group	.	.	.	asks all of its process group, not its leader alone
pm-restart	--ready	.	alive|message|notify	.	alive (for 1s), message ('\''ready'\'') or notify (alive)
pm-restart	--ready-timeout	.	TIME	.	not ready by then: the start has failed (30s)
pm-restart	--env-file	.	FILE	.	variables for CHAIN; a HUP reads them again
pm-restart	--mem-interval	.	TIME	.	how often memory is looked at, with --max-mem (1s)
pm-restart	--help	-h	.	.	what there is
pm-restart	--version	-V	.	.	the version
pm-cluster	BEHIND	.	.	CHAIN	Runs N copies of PROG behind one address; replaces those that die.
pm-cluster	--workers	-n	N|max	.	copies; 0: one per usable CPU, -1: one fewer (0)
pm-cluster	--name	.	NAME	.	the app'\''s name (derived from PROG and ARGS)
pm-cluster	--grace	.	TIME	.	from the stop signal to KILL (8s)
pm-cluster	--stop-delay	.	TIME	.	after TERM workers go on serving for this long (0s)
pm-cluster	--stop-signal	.	SIG|message	.	asks a worker to stop; message: '\''shutdown'\'' (TERM)
pm-cluster	--stop-group	.	.	.	asks all of its process group, not its leader alone
pm-cluster	--ready	.	listen|message|notify	.	listen, message ('\''ready'\'') or notify (listen)
pm-cluster	--health	.	http://[HOST]:PORT/PATH	.	ready once this is answered well: http://:PORT/PATH
pm-cluster	--health-cmd	.	CMD	.	ready once this command (sh -c) exits with 0
pm-cluster	--ready-after	.	TIME	.	with listen: alive this long is ready too (1s)
pm-cluster	--ready-timeout	.	TIME	.	not ready by then: the start has failed (30s)
pm-cluster	--soak	.	TIME	.	a reload'\''s first worker must live this long (1s)
pm-cluster	--parallel	.	K	.	workers that a reload starts at a time (1)
pm-cluster	--overlap	.	K	.	workers that may still be draining while a reload goes on (N)
pm-cluster	--env-file	.	FILE	.	variables for workers, read again at each reload
pm-cluster	--out	.	FILE	.	append the workers'\'' output; %s in FILE is the slot
pm-cluster	--err	.	FILE	.	the same for their errors
pm-cluster	--no-preload	.	.	.	no drain script in Node workers
pm-cluster	--balance	.	lanes|shared|rr	.	lanes, shared or rr (lanes)
pm-cluster	--listen	.	[HOST]:PORT|unix:PATH[,mode=OCTAL][,owner=USER[:GROUP]]	.	open [HOST]:PORT or unix:PATH, pass it (LISTEN_FDS)
pm-cluster	--fanout	.	auto|lanes|shared|inherit|off	.	programs that bind: auto, lanes, shared, inherit or off (auto)
pm-cluster	--probe	.	.	.	print what this machine allows, and end
pm-cluster	--help	-h	.	.	what there is
pm-cluster	--version	-V	.	.	the version
pm-stat	BEHIND	.	.	APP	Says what runs, of the apps named or of all: as JSON lines, or as is asked for.
pm-stat	--table	.	.	.	a table for people
pm-stat	--sort	.	FIELD|FIELD:asc|FIELD:desc	.	with --table: by name, cpu, memory ...; memory:desc
pm-stat	--describe	.	.	.	all that is known of APP, for people
pm-stat	--check	.	.	.	exit 0 if all is as it shall be; else 1, and why
pm-stat	--follow	.	.	.	a JSON line for each change, until nobody reads
pm-stat	--interval	.	TIME	.	with --follow: figures too, so often
pm-stat	--top	.	.	.	the table, live on a terminal; q quits
pm-stat	--openmetrics	.	.	.	figures for Prometheus and other collectors
pm-stat	--jlist	.	.	.	one JSON array as programs written for PM2 read it
pm-stat	--env	.	.	.	with --jlist: the environment too (it may hold passwords)
pm-stat	--match	.	.	.	names of apps, by: all, name, id, namespace, script path
pm-stat	--wait	.	rolled|ready|stopped|workers=N	.	until APP is: rolled, ready, stopped, workers=N
pm-stat	--timeout	.	TIME	.	wait no longer, and exit 124 (for ever)
pm-stat	--since	.	N	.	rolled: by the first roll above N (last asked, or next)
pm-stat	--pss	.	.	.	memory with shared pages divided among their sharers
pm-stat	--help	-h	.	.	what there is
pm-stat	--version	-V	.	.	the version
pm	BEHIND	.	.	.	what a PM2 user types
pm	start	.	.	.	.
pm start	BEHIND	.	.	TARGET|FILE	.
pm start	--name	.	.	.	.
pm start	--instances	.	.	.	.
pm start	--namespace	.	.	.	.
pm start	--cwd	.	.	.	.
pm start	--interpreter	.	.	.	.
pm start	--uid	.	.	.	.
pm start	--gid	.	.	.	.
pm start	--node-args	.	.	.	.
pm start	--max-memory-restart	.	.	.	.
pm start	--max-restarts	.	.	.	.
pm start	--restart-delay	.	.	.	.
pm start	--no-autorestart	.	.	.	.
pm start	--stop-exit-codes	.	.	.	.
pm start	--kill-timeout	.	.	.	.
pm start	--wait-ready	.	.	.	.
pm start	--listen-timeout	.	.	.	.
pm start	--output	.	.	.	.
pm start	--error	.	.	.	.
pm start	--log	.	.	.	.
pm start	--time	.	.	.	.
pm start	--log-type	.	.	.	.
pm start	--force	.	.	.	.
pm start	--no-daemon	.	.	.	.
pm start	--dry-run	.	.	.	.
pm start	--only	.	.	.	.
pm start	--env	.	.	.	.
pm start	--update-env	.	.	.	.
pm start	--silent	.	.	.	.
pm start	--lines	.	.	.	.
pm start	--err	.	.	.	.
pm start	--out	.	.	.	.
pm start	--json	.	.	.	.
pm start	--format	.	.	.	.
pm start	--raw	.	.	.	.
pm start	--nostream	.	.	.	.
pm start	--help	.	.	.	.
pm	stop	.	.	.	.
pm stop	BEHIND	.	.	TARGET	.
pm stop	--name	.	.	.	.
pm stop	--instances	.	.	.	.
pm stop	--namespace	.	.	.	.
pm stop	--cwd	.	.	.	.
pm stop	--interpreter	.	.	.	.
pm stop	--uid	.	.	.	.
pm stop	--gid	.	.	.	.
pm stop	--node-args	.	.	.	.
pm stop	--max-memory-restart	.	.	.	.
pm stop	--max-restarts	.	.	.	.
pm stop	--restart-delay	.	.	.	.
pm stop	--no-autorestart	.	.	.	.
pm stop	--stop-exit-codes	.	.	.	.
pm stop	--kill-timeout	.	.	.	.
pm stop	--wait-ready	.	.	.	.
pm stop	--listen-timeout	.	.	.	.
pm stop	--output	.	.	.	.
pm stop	--error	.	.	.	.
pm stop	--log	.	.	.	.
pm stop	--time	.	.	.	.
pm stop	--log-type	.	.	.	.
pm stop	--force	.	.	.	.
pm stop	--no-daemon	.	.	.	.
pm stop	--dry-run	.	.	.	.
pm stop	--only	.	.	.	.
pm stop	--env	.	.	.	.
pm stop	--update-env	.	.	.	.
pm stop	--silent	.	.	.	.
pm stop	--lines	.	.	.	.
pm stop	--err	.	.	.	.
pm stop	--out	.	.	.	.
pm stop	--json	.	.	.	.
pm stop	--format	.	.	.	.
pm stop	--raw	.	.	.	.
pm stop	--nostream	.	.	.	.
pm stop	--help	.	.	.	.
pm	restart	.	.	.	.
pm restart	BEHIND	.	.	TARGET	.
pm restart	--name	.	.	.	.
pm restart	--instances	.	.	.	.
pm restart	--namespace	.	.	.	.
pm restart	--cwd	.	.	.	.
pm restart	--interpreter	.	.	.	.
pm restart	--uid	.	.	.	.
pm restart	--gid	.	.	.	.
pm restart	--node-args	.	.	.	.
pm restart	--max-memory-restart	.	.	.	.
pm restart	--max-restarts	.	.	.	.
pm restart	--restart-delay	.	.	.	.
pm restart	--no-autorestart	.	.	.	.
pm restart	--stop-exit-codes	.	.	.	.
pm restart	--kill-timeout	.	.	.	.
pm restart	--wait-ready	.	.	.	.
pm restart	--listen-timeout	.	.	.	.
pm restart	--output	.	.	.	.
pm restart	--error	.	.	.	.
pm restart	--log	.	.	.	.
pm restart	--time	.	.	.	.
pm restart	--log-type	.	.	.	.
pm restart	--force	.	.	.	.
pm restart	--no-daemon	.	.	.	.
pm restart	--dry-run	.	.	.	.
pm restart	--only	.	.	.	.
pm restart	--env	.	.	.	.
pm restart	--update-env	.	.	.	.
pm restart	--silent	.	.	.	.
pm restart	--lines	.	.	.	.
pm restart	--err	.	.	.	.
pm restart	--out	.	.	.	.
pm restart	--json	.	.	.	.
pm restart	--format	.	.	.	.
pm restart	--raw	.	.	.	.
pm restart	--nostream	.	.	.	.
pm restart	--help	.	.	.	.
pm	reload	.	.	.	.
pm reload	BEHIND	.	.	TARGET	.
pm reload	--name	.	.	.	.
pm reload	--instances	.	.	.	.
pm reload	--namespace	.	.	.	.
pm reload	--cwd	.	.	.	.
pm reload	--interpreter	.	.	.	.
pm reload	--uid	.	.	.	.
pm reload	--gid	.	.	.	.
pm reload	--node-args	.	.	.	.
pm reload	--max-memory-restart	.	.	.	.
pm reload	--max-restarts	.	.	.	.
pm reload	--restart-delay	.	.	.	.
pm reload	--no-autorestart	.	.	.	.
pm reload	--stop-exit-codes	.	.	.	.
pm reload	--kill-timeout	.	.	.	.
pm reload	--wait-ready	.	.	.	.
pm reload	--listen-timeout	.	.	.	.
pm reload	--output	.	.	.	.
pm reload	--error	.	.	.	.
pm reload	--log	.	.	.	.
pm reload	--time	.	.	.	.
pm reload	--log-type	.	.	.	.
pm reload	--force	.	.	.	.
pm reload	--no-daemon	.	.	.	.
pm reload	--dry-run	.	.	.	.
pm reload	--only	.	.	.	.
pm reload	--env	.	.	.	.
pm reload	--update-env	.	.	.	.
pm reload	--silent	.	.	.	.
pm reload	--lines	.	.	.	.
pm reload	--err	.	.	.	.
pm reload	--out	.	.	.	.
pm reload	--json	.	.	.	.
pm reload	--format	.	.	.	.
pm reload	--raw	.	.	.	.
pm reload	--nostream	.	.	.	.
pm reload	--help	.	.	.	.
pm	delete	.	.	.	.
pm delete	BEHIND	.	.	TARGET	.
pm delete	--name	.	.	.	.
pm delete	--instances	.	.	.	.
pm delete	--namespace	.	.	.	.
pm delete	--cwd	.	.	.	.
pm delete	--interpreter	.	.	.	.
pm delete	--uid	.	.	.	.
pm delete	--gid	.	.	.	.
pm delete	--node-args	.	.	.	.
pm delete	--max-memory-restart	.	.	.	.
pm delete	--max-restarts	.	.	.	.
pm delete	--restart-delay	.	.	.	.
pm delete	--no-autorestart	.	.	.	.
pm delete	--stop-exit-codes	.	.	.	.
pm delete	--kill-timeout	.	.	.	.
pm delete	--wait-ready	.	.	.	.
pm delete	--listen-timeout	.	.	.	.
pm delete	--output	.	.	.	.
pm delete	--error	.	.	.	.
pm delete	--log	.	.	.	.
pm delete	--time	.	.	.	.
pm delete	--log-type	.	.	.	.
pm delete	--force	.	.	.	.
pm delete	--no-daemon	.	.	.	.
pm delete	--dry-run	.	.	.	.
pm delete	--only	.	.	.	.
pm delete	--env	.	.	.	.
pm delete	--update-env	.	.	.	.
pm delete	--silent	.	.	.	.
pm delete	--lines	.	.	.	.
pm delete	--err	.	.	.	.
pm delete	--out	.	.	.	.
pm delete	--json	.	.	.	.
pm delete	--format	.	.	.	.
pm delete	--raw	.	.	.	.
pm delete	--nostream	.	.	.	.
pm delete	--help	.	.	.	.
pm	scale	.	.	.	.
pm scale	BEHIND	.	.	TARGET	.
pm scale	--name	.	.	.	.
pm scale	--instances	.	.	.	.
pm scale	--namespace	.	.	.	.
pm scale	--cwd	.	.	.	.
pm scale	--interpreter	.	.	.	.
pm scale	--uid	.	.	.	.
pm scale	--gid	.	.	.	.
pm scale	--node-args	.	.	.	.
pm scale	--max-memory-restart	.	.	.	.
pm scale	--max-restarts	.	.	.	.
pm scale	--restart-delay	.	.	.	.
pm scale	--no-autorestart	.	.	.	.
pm scale	--stop-exit-codes	.	.	.	.
pm scale	--kill-timeout	.	.	.	.
pm scale	--wait-ready	.	.	.	.
pm scale	--listen-timeout	.	.	.	.
pm scale	--output	.	.	.	.
pm scale	--error	.	.	.	.
pm scale	--log	.	.	.	.
pm scale	--time	.	.	.	.
pm scale	--log-type	.	.	.	.
pm scale	--force	.	.	.	.
pm scale	--no-daemon	.	.	.	.
pm scale	--dry-run	.	.	.	.
pm scale	--only	.	.	.	.
pm scale	--env	.	.	.	.
pm scale	--update-env	.	.	.	.
pm scale	--silent	.	.	.	.
pm scale	--lines	.	.	.	.
pm scale	--err	.	.	.	.
pm scale	--out	.	.	.	.
pm scale	--json	.	.	.	.
pm scale	--format	.	.	.	.
pm scale	--raw	.	.	.	.
pm scale	--nostream	.	.	.	.
pm scale	--help	.	.	.	.
pm	startOrRestart	.	.	.	.
pm startOrRestart	BEHIND	.	.	TARGET	.
pm startOrRestart	--name	.	.	.	.
pm startOrRestart	--instances	.	.	.	.
pm startOrRestart	--namespace	.	.	.	.
pm startOrRestart	--cwd	.	.	.	.
pm startOrRestart	--interpreter	.	.	.	.
pm startOrRestart	--uid	.	.	.	.
pm startOrRestart	--gid	.	.	.	.
pm startOrRestart	--node-args	.	.	.	.
pm startOrRestart	--max-memory-restart	.	.	.	.
pm startOrRestart	--max-restarts	.	.	.	.
pm startOrRestart	--restart-delay	.	.	.	.
pm startOrRestart	--no-autorestart	.	.	.	.
pm startOrRestart	--stop-exit-codes	.	.	.	.
pm startOrRestart	--kill-timeout	.	.	.	.
pm startOrRestart	--wait-ready	.	.	.	.
pm startOrRestart	--listen-timeout	.	.	.	.
pm startOrRestart	--output	.	.	.	.
pm startOrRestart	--error	.	.	.	.
pm startOrRestart	--log	.	.	.	.
pm startOrRestart	--time	.	.	.	.
pm startOrRestart	--log-type	.	.	.	.
pm startOrRestart	--force	.	.	.	.
pm startOrRestart	--no-daemon	.	.	.	.
pm startOrRestart	--dry-run	.	.	.	.
pm startOrRestart	--only	.	.	.	.
pm startOrRestart	--env	.	.	.	.
pm startOrRestart	--update-env	.	.	.	.
pm startOrRestart	--silent	.	.	.	.
pm startOrRestart	--lines	.	.	.	.
pm startOrRestart	--err	.	.	.	.
pm startOrRestart	--out	.	.	.	.
pm startOrRestart	--json	.	.	.	.
pm startOrRestart	--format	.	.	.	.
pm startOrRestart	--raw	.	.	.	.
pm startOrRestart	--nostream	.	.	.	.
pm startOrRestart	--help	.	.	.	.
pm	startOrReload	.	.	.	.
pm startOrReload	BEHIND	.	.	TARGET	.
pm startOrReload	--name	.	.	.	.
pm startOrReload	--instances	.	.	.	.
pm startOrReload	--namespace	.	.	.	.
pm startOrReload	--cwd	.	.	.	.
pm startOrReload	--interpreter	.	.	.	.
pm startOrReload	--uid	.	.	.	.
pm startOrReload	--gid	.	.	.	.
pm startOrReload	--node-args	.	.	.	.
pm startOrReload	--max-memory-restart	.	.	.	.
pm startOrReload	--max-restarts	.	.	.	.
pm startOrReload	--restart-delay	.	.	.	.
pm startOrReload	--no-autorestart	.	.	.	.
pm startOrReload	--stop-exit-codes	.	.	.	.
pm startOrReload	--kill-timeout	.	.	.	.
pm startOrReload	--wait-ready	.	.	.	.
pm startOrReload	--listen-timeout	.	.	.	.
pm startOrReload	--output	.	.	.	.
pm startOrReload	--error	.	.	.	.
pm startOrReload	--log	.	.	.	.
pm startOrReload	--time	.	.	.	.
pm startOrReload	--log-type	.	.	.	.
pm startOrReload	--force	.	.	.	.
pm startOrReload	--no-daemon	.	.	.	.
pm startOrReload	--dry-run	.	.	.	.
pm startOrReload	--only	.	.	.	.
pm startOrReload	--env	.	.	.	.
pm startOrReload	--update-env	.	.	.	.
pm startOrReload	--silent	.	.	.	.
pm startOrReload	--lines	.	.	.	.
pm startOrReload	--err	.	.	.	.
pm startOrReload	--out	.	.	.	.
pm startOrReload	--json	.	.	.	.
pm startOrReload	--format	.	.	.	.
pm startOrReload	--raw	.	.	.	.
pm startOrReload	--nostream	.	.	.	.
pm startOrReload	--help	.	.	.	.
pm	list	.	.	.	.
pm list	BEHIND	.	.	TARGET	.
pm list	--name	.	.	.	.
pm list	--instances	.	.	.	.
pm list	--namespace	.	.	.	.
pm list	--cwd	.	.	.	.
pm list	--interpreter	.	.	.	.
pm list	--uid	.	.	.	.
pm list	--gid	.	.	.	.
pm list	--node-args	.	.	.	.
pm list	--max-memory-restart	.	.	.	.
pm list	--max-restarts	.	.	.	.
pm list	--restart-delay	.	.	.	.
pm list	--no-autorestart	.	.	.	.
pm list	--stop-exit-codes	.	.	.	.
pm list	--kill-timeout	.	.	.	.
pm list	--wait-ready	.	.	.	.
pm list	--listen-timeout	.	.	.	.
pm list	--output	.	.	.	.
pm list	--error	.	.	.	.
pm list	--log	.	.	.	.
pm list	--time	.	.	.	.
pm list	--log-type	.	.	.	.
pm list	--force	.	.	.	.
pm list	--no-daemon	.	.	.	.
pm list	--dry-run	.	.	.	.
pm list	--only	.	.	.	.
pm list	--env	.	.	.	.
pm list	--update-env	.	.	.	.
pm list	--silent	.	.	.	.
pm list	--lines	.	.	.	.
pm list	--err	.	.	.	.
pm list	--out	.	.	.	.
pm list	--json	.	.	.	.
pm list	--format	.	.	.	.
pm list	--raw	.	.	.	.
pm list	--nostream	.	.	.	.
pm list	--help	.	.	.	.
pm	jlist	.	.	.	.
pm jlist	BEHIND	.	.	TARGET	.
pm jlist	--name	.	.	.	.
pm jlist	--instances	.	.	.	.
pm jlist	--namespace	.	.	.	.
pm jlist	--cwd	.	.	.	.
pm jlist	--interpreter	.	.	.	.
pm jlist	--uid	.	.	.	.
pm jlist	--gid	.	.	.	.
pm jlist	--node-args	.	.	.	.
pm jlist	--max-memory-restart	.	.	.	.
pm jlist	--max-restarts	.	.	.	.
pm jlist	--restart-delay	.	.	.	.
pm jlist	--no-autorestart	.	.	.	.
pm jlist	--stop-exit-codes	.	.	.	.
pm jlist	--kill-timeout	.	.	.	.
pm jlist	--wait-ready	.	.	.	.
pm jlist	--listen-timeout	.	.	.	.
pm jlist	--output	.	.	.	.
pm jlist	--error	.	.	.	.
pm jlist	--log	.	.	.	.
pm jlist	--time	.	.	.	.
pm jlist	--log-type	.	.	.	.
pm jlist	--force	.	.	.	.
pm jlist	--no-daemon	.	.	.	.
pm jlist	--dry-run	.	.	.	.
pm jlist	--only	.	.	.	.
pm jlist	--env	.	.	.	.
pm jlist	--update-env	.	.	.	.
pm jlist	--silent	.	.	.	.
pm jlist	--lines	.	.	.	.
pm jlist	--err	.	.	.	.
pm jlist	--out	.	.	.	.
pm jlist	--json	.	.	.	.
pm jlist	--format	.	.	.	.
pm jlist	--raw	.	.	.	.
pm jlist	--nostream	.	.	.	.
pm jlist	--help	.	.	.	.
pm	prettylist	.	.	.	.
pm prettylist	BEHIND	.	.	TARGET	.
pm prettylist	--name	.	.	.	.
pm prettylist	--instances	.	.	.	.
pm prettylist	--namespace	.	.	.	.
pm prettylist	--cwd	.	.	.	.
pm prettylist	--interpreter	.	.	.	.
pm prettylist	--uid	.	.	.	.
pm prettylist	--gid	.	.	.	.
pm prettylist	--node-args	.	.	.	.
pm prettylist	--max-memory-restart	.	.	.	.
pm prettylist	--max-restarts	.	.	.	.
pm prettylist	--restart-delay	.	.	.	.
pm prettylist	--no-autorestart	.	.	.	.
pm prettylist	--stop-exit-codes	.	.	.	.
pm prettylist	--kill-timeout	.	.	.	.
pm prettylist	--wait-ready	.	.	.	.
pm prettylist	--listen-timeout	.	.	.	.
pm prettylist	--output	.	.	.	.
pm prettylist	--error	.	.	.	.
pm prettylist	--log	.	.	.	.
pm prettylist	--time	.	.	.	.
pm prettylist	--log-type	.	.	.	.
pm prettylist	--force	.	.	.	.
pm prettylist	--no-daemon	.	.	.	.
pm prettylist	--dry-run	.	.	.	.
pm prettylist	--only	.	.	.	.
pm prettylist	--env	.	.	.	.
pm prettylist	--update-env	.	.	.	.
pm prettylist	--silent	.	.	.	.
pm prettylist	--lines	.	.	.	.
pm prettylist	--err	.	.	.	.
pm prettylist	--out	.	.	.	.
pm prettylist	--json	.	.	.	.
pm prettylist	--format	.	.	.	.
pm prettylist	--raw	.	.	.	.
pm prettylist	--nostream	.	.	.	.
pm prettylist	--help	.	.	.	.
pm	monit	.	.	.	.
pm monit	BEHIND	.	.	TARGET	.
pm monit	--name	.	.	.	.
pm monit	--instances	.	.	.	.
pm monit	--namespace	.	.	.	.
pm monit	--cwd	.	.	.	.
pm monit	--interpreter	.	.	.	.
pm monit	--uid	.	.	.	.
pm monit	--gid	.	.	.	.
pm monit	--node-args	.	.	.	.
pm monit	--max-memory-restart	.	.	.	.
pm monit	--max-restarts	.	.	.	.
pm monit	--restart-delay	.	.	.	.
pm monit	--no-autorestart	.	.	.	.
pm monit	--stop-exit-codes	.	.	.	.
pm monit	--kill-timeout	.	.	.	.
pm monit	--wait-ready	.	.	.	.
pm monit	--listen-timeout	.	.	.	.
pm monit	--output	.	.	.	.
pm monit	--error	.	.	.	.
pm monit	--log	.	.	.	.
pm monit	--time	.	.	.	.
pm monit	--log-type	.	.	.	.
pm monit	--force	.	.	.	.
pm monit	--no-daemon	.	.	.	.
pm monit	--dry-run	.	.	.	.
pm monit	--only	.	.	.	.
pm monit	--env	.	.	.	.
pm monit	--update-env	.	.	.	.
pm monit	--silent	.	.	.	.
pm monit	--lines	.	.	.	.
pm monit	--err	.	.	.	.
pm monit	--out	.	.	.	.
pm monit	--json	.	.	.	.
pm monit	--format	.	.	.	.
pm monit	--raw	.	.	.	.
pm monit	--nostream	.	.	.	.
pm monit	--help	.	.	.	.
pm	describe	.	.	.	.
pm describe	BEHIND	.	.	TARGET	.
pm describe	--name	.	.	.	.
pm describe	--instances	.	.	.	.
pm describe	--namespace	.	.	.	.
pm describe	--cwd	.	.	.	.
pm describe	--interpreter	.	.	.	.
pm describe	--uid	.	.	.	.
pm describe	--gid	.	.	.	.
pm describe	--node-args	.	.	.	.
pm describe	--max-memory-restart	.	.	.	.
pm describe	--max-restarts	.	.	.	.
pm describe	--restart-delay	.	.	.	.
pm describe	--no-autorestart	.	.	.	.
pm describe	--stop-exit-codes	.	.	.	.
pm describe	--kill-timeout	.	.	.	.
pm describe	--wait-ready	.	.	.	.
pm describe	--listen-timeout	.	.	.	.
pm describe	--output	.	.	.	.
pm describe	--error	.	.	.	.
pm describe	--log	.	.	.	.
pm describe	--time	.	.	.	.
pm describe	--log-type	.	.	.	.
pm describe	--force	.	.	.	.
pm describe	--no-daemon	.	.	.	.
pm describe	--dry-run	.	.	.	.
pm describe	--only	.	.	.	.
pm describe	--env	.	.	.	.
pm describe	--update-env	.	.	.	.
pm describe	--silent	.	.	.	.
pm describe	--lines	.	.	.	.
pm describe	--err	.	.	.	.
pm describe	--out	.	.	.	.
pm describe	--json	.	.	.	.
pm describe	--format	.	.	.	.
pm describe	--raw	.	.	.	.
pm describe	--nostream	.	.	.	.
pm describe	--help	.	.	.	.
pm	env	.	.	.	.
pm env	BEHIND	.	.	TARGET	.
pm env	--name	.	.	.	.
pm env	--instances	.	.	.	.
pm env	--namespace	.	.	.	.
pm env	--cwd	.	.	.	.
pm env	--interpreter	.	.	.	.
pm env	--uid	.	.	.	.
pm env	--gid	.	.	.	.
pm env	--node-args	.	.	.	.
pm env	--max-memory-restart	.	.	.	.
pm env	--max-restarts	.	.	.	.
pm env	--restart-delay	.	.	.	.
pm env	--no-autorestart	.	.	.	.
pm env	--stop-exit-codes	.	.	.	.
pm env	--kill-timeout	.	.	.	.
pm env	--wait-ready	.	.	.	.
pm env	--listen-timeout	.	.	.	.
pm env	--output	.	.	.	.
pm env	--error	.	.	.	.
pm env	--log	.	.	.	.
pm env	--time	.	.	.	.
pm env	--log-type	.	.	.	.
pm env	--force	.	.	.	.
pm env	--no-daemon	.	.	.	.
pm env	--dry-run	.	.	.	.
pm env	--only	.	.	.	.
pm env	--env	.	.	.	.
pm env	--update-env	.	.	.	.
pm env	--silent	.	.	.	.
pm env	--lines	.	.	.	.
pm env	--err	.	.	.	.
pm env	--out	.	.	.	.
pm env	--json	.	.	.	.
pm env	--format	.	.	.	.
pm env	--raw	.	.	.	.
pm env	--nostream	.	.	.	.
pm env	--help	.	.	.	.
pm	id	.	.	.	.
pm id	BEHIND	.	.	TARGET	.
pm id	--name	.	.	.	.
pm id	--instances	.	.	.	.
pm id	--namespace	.	.	.	.
pm id	--cwd	.	.	.	.
pm id	--interpreter	.	.	.	.
pm id	--uid	.	.	.	.
pm id	--gid	.	.	.	.
pm id	--node-args	.	.	.	.
pm id	--max-memory-restart	.	.	.	.
pm id	--max-restarts	.	.	.	.
pm id	--restart-delay	.	.	.	.
pm id	--no-autorestart	.	.	.	.
pm id	--stop-exit-codes	.	.	.	.
pm id	--kill-timeout	.	.	.	.
pm id	--wait-ready	.	.	.	.
pm id	--listen-timeout	.	.	.	.
pm id	--output	.	.	.	.
pm id	--error	.	.	.	.
pm id	--log	.	.	.	.
pm id	--time	.	.	.	.
pm id	--log-type	.	.	.	.
pm id	--force	.	.	.	.
pm id	--no-daemon	.	.	.	.
pm id	--dry-run	.	.	.	.
pm id	--only	.	.	.	.
pm id	--env	.	.	.	.
pm id	--update-env	.	.	.	.
pm id	--silent	.	.	.	.
pm id	--lines	.	.	.	.
pm id	--err	.	.	.	.
pm id	--out	.	.	.	.
pm id	--json	.	.	.	.
pm id	--format	.	.	.	.
pm id	--raw	.	.	.	.
pm id	--nostream	.	.	.	.
pm id	--help	.	.	.	.
pm	pid	.	.	.	.
pm pid	BEHIND	.	.	TARGET	.
pm pid	--name	.	.	.	.
pm pid	--instances	.	.	.	.
pm pid	--namespace	.	.	.	.
pm pid	--cwd	.	.	.	.
pm pid	--interpreter	.	.	.	.
pm pid	--uid	.	.	.	.
pm pid	--gid	.	.	.	.
pm pid	--node-args	.	.	.	.
pm pid	--max-memory-restart	.	.	.	.
pm pid	--max-restarts	.	.	.	.
pm pid	--restart-delay	.	.	.	.
pm pid	--no-autorestart	.	.	.	.
pm pid	--stop-exit-codes	.	.	.	.
pm pid	--kill-timeout	.	.	.	.
pm pid	--wait-ready	.	.	.	.
pm pid	--listen-timeout	.	.	.	.
pm pid	--output	.	.	.	.
pm pid	--error	.	.	.	.
pm pid	--log	.	.	.	.
pm pid	--time	.	.	.	.
pm pid	--log-type	.	.	.	.
pm pid	--force	.	.	.	.
pm pid	--no-daemon	.	.	.	.
pm pid	--dry-run	.	.	.	.
pm pid	--only	.	.	.	.
pm pid	--env	.	.	.	.
pm pid	--update-env	.	.	.	.
pm pid	--silent	.	.	.	.
pm pid	--lines	.	.	.	.
pm pid	--err	.	.	.	.
pm pid	--out	.	.	.	.
pm pid	--json	.	.	.	.
pm pid	--format	.	.	.	.
pm pid	--raw	.	.	.	.
pm pid	--nostream	.	.	.	.
pm pid	--help	.	.	.	.
pm	send	.	.	.	.
pm send	BEHIND	.	.	TARGET	.
pm send	--name	.	.	.	.
pm send	--instances	.	.	.	.
pm send	--namespace	.	.	.	.
pm send	--cwd	.	.	.	.
pm send	--interpreter	.	.	.	.
pm send	--uid	.	.	.	.
pm send	--gid	.	.	.	.
pm send	--node-args	.	.	.	.
pm send	--max-memory-restart	.	.	.	.
pm send	--max-restarts	.	.	.	.
pm send	--restart-delay	.	.	.	.
pm send	--no-autorestart	.	.	.	.
pm send	--stop-exit-codes	.	.	.	.
pm send	--kill-timeout	.	.	.	.
pm send	--wait-ready	.	.	.	.
pm send	--listen-timeout	.	.	.	.
pm send	--output	.	.	.	.
pm send	--error	.	.	.	.
pm send	--log	.	.	.	.
pm send	--time	.	.	.	.
pm send	--log-type	.	.	.	.
pm send	--force	.	.	.	.
pm send	--no-daemon	.	.	.	.
pm send	--dry-run	.	.	.	.
pm send	--only	.	.	.	.
pm send	--env	.	.	.	.
pm send	--update-env	.	.	.	.
pm send	--silent	.	.	.	.
pm send	--lines	.	.	.	.
pm send	--err	.	.	.	.
pm send	--out	.	.	.	.
pm send	--json	.	.	.	.
pm send	--format	.	.	.	.
pm send	--raw	.	.	.	.
pm send	--nostream	.	.	.	.
pm send	--help	.	.	.	.
pm	logs	.	.	.	.
pm logs	BEHIND	.	.	TARGET	.
pm logs	--name	.	.	.	.
pm logs	--instances	.	.	.	.
pm logs	--namespace	.	.	.	.
pm logs	--cwd	.	.	.	.
pm logs	--interpreter	.	.	.	.
pm logs	--uid	.	.	.	.
pm logs	--gid	.	.	.	.
pm logs	--node-args	.	.	.	.
pm logs	--max-memory-restart	.	.	.	.
pm logs	--max-restarts	.	.	.	.
pm logs	--restart-delay	.	.	.	.
pm logs	--no-autorestart	.	.	.	.
pm logs	--stop-exit-codes	.	.	.	.
pm logs	--kill-timeout	.	.	.	.
pm logs	--wait-ready	.	.	.	.
pm logs	--listen-timeout	.	.	.	.
pm logs	--output	.	.	.	.
pm logs	--error	.	.	.	.
pm logs	--log	.	.	.	.
pm logs	--time	.	.	.	.
pm logs	--log-type	.	.	.	.
pm logs	--force	.	.	.	.
pm logs	--no-daemon	.	.	.	.
pm logs	--dry-run	.	.	.	.
pm logs	--only	.	.	.	.
pm logs	--env	.	.	.	.
pm logs	--update-env	.	.	.	.
pm logs	--silent	.	.	.	.
pm logs	--lines	.	.	.	.
pm logs	--err	.	.	.	.
pm logs	--out	.	.	.	.
pm logs	--json	.	.	.	.
pm logs	--format	.	.	.	.
pm logs	--raw	.	.	.	.
pm logs	--nostream	.	.	.	.
pm logs	--help	.	.	.	.
pm	flush	.	.	.	.
pm flush	BEHIND	.	.	TARGET	.
pm flush	--name	.	.	.	.
pm flush	--instances	.	.	.	.
pm flush	--namespace	.	.	.	.
pm flush	--cwd	.	.	.	.
pm flush	--interpreter	.	.	.	.
pm flush	--uid	.	.	.	.
pm flush	--gid	.	.	.	.
pm flush	--node-args	.	.	.	.
pm flush	--max-memory-restart	.	.	.	.
pm flush	--max-restarts	.	.	.	.
pm flush	--restart-delay	.	.	.	.
pm flush	--no-autorestart	.	.	.	.
pm flush	--stop-exit-codes	.	.	.	.
pm flush	--kill-timeout	.	.	.	.
pm flush	--wait-ready	.	.	.	.
pm flush	--listen-timeout	.	.	.	.
pm flush	--output	.	.	.	.
pm flush	--error	.	.	.	.
pm flush	--log	.	.	.	.
pm flush	--time	.	.	.	.
pm flush	--log-type	.	.	.	.
pm flush	--force	.	.	.	.
pm flush	--no-daemon	.	.	.	.
pm flush	--dry-run	.	.	.	.
pm flush	--only	.	.	.	.
pm flush	--env	.	.	.	.
pm flush	--update-env	.	.	.	.
pm flush	--silent	.	.	.	.
pm flush	--lines	.	.	.	.
pm flush	--err	.	.	.	.
pm flush	--out	.	.	.	.
pm flush	--json	.	.	.	.
pm flush	--format	.	.	.	.
pm flush	--raw	.	.	.	.
pm flush	--nostream	.	.	.	.
pm flush	--help	.	.	.	.
pm	reset	.	.	.	.
pm reset	BEHIND	.	.	TARGET	.
pm reset	--name	.	.	.	.
pm reset	--instances	.	.	.	.
pm reset	--namespace	.	.	.	.
pm reset	--cwd	.	.	.	.
pm reset	--interpreter	.	.	.	.
pm reset	--uid	.	.	.	.
pm reset	--gid	.	.	.	.
pm reset	--node-args	.	.	.	.
pm reset	--max-memory-restart	.	.	.	.
pm reset	--max-restarts	.	.	.	.
pm reset	--restart-delay	.	.	.	.
pm reset	--no-autorestart	.	.	.	.
pm reset	--stop-exit-codes	.	.	.	.
pm reset	--kill-timeout	.	.	.	.
pm reset	--wait-ready	.	.	.	.
pm reset	--listen-timeout	.	.	.	.
pm reset	--output	.	.	.	.
pm reset	--error	.	.	.	.
pm reset	--log	.	.	.	.
pm reset	--time	.	.	.	.
pm reset	--log-type	.	.	.	.
pm reset	--force	.	.	.	.
pm reset	--no-daemon	.	.	.	.
pm reset	--dry-run	.	.	.	.
pm reset	--only	.	.	.	.
pm reset	--env	.	.	.	.
pm reset	--update-env	.	.	.	.
pm reset	--silent	.	.	.	.
pm reset	--lines	.	.	.	.
pm reset	--err	.	.	.	.
pm reset	--out	.	.	.	.
pm reset	--json	.	.	.	.
pm reset	--format	.	.	.	.
pm reset	--raw	.	.	.	.
pm reset	--nostream	.	.	.	.
pm reset	--help	.	.	.	.
pm	reloadLogs	.	.	.	.
pm reloadLogs	BEHIND	.	.	TARGET	.
pm reloadLogs	--name	.	.	.	.
pm reloadLogs	--instances	.	.	.	.
pm reloadLogs	--namespace	.	.	.	.
pm reloadLogs	--cwd	.	.	.	.
pm reloadLogs	--interpreter	.	.	.	.
pm reloadLogs	--uid	.	.	.	.
pm reloadLogs	--gid	.	.	.	.
pm reloadLogs	--node-args	.	.	.	.
pm reloadLogs	--max-memory-restart	.	.	.	.
pm reloadLogs	--max-restarts	.	.	.	.
pm reloadLogs	--restart-delay	.	.	.	.
pm reloadLogs	--no-autorestart	.	.	.	.
pm reloadLogs	--stop-exit-codes	.	.	.	.
pm reloadLogs	--kill-timeout	.	.	.	.
pm reloadLogs	--wait-ready	.	.	.	.
pm reloadLogs	--listen-timeout	.	.	.	.
pm reloadLogs	--output	.	.	.	.
pm reloadLogs	--error	.	.	.	.
pm reloadLogs	--log	.	.	.	.
pm reloadLogs	--time	.	.	.	.
pm reloadLogs	--log-type	.	.	.	.
pm reloadLogs	--force	.	.	.	.
pm reloadLogs	--no-daemon	.	.	.	.
pm reloadLogs	--dry-run	.	.	.	.
pm reloadLogs	--only	.	.	.	.
pm reloadLogs	--env	.	.	.	.
pm reloadLogs	--update-env	.	.	.	.
pm reloadLogs	--silent	.	.	.	.
pm reloadLogs	--lines	.	.	.	.
pm reloadLogs	--err	.	.	.	.
pm reloadLogs	--out	.	.	.	.
pm reloadLogs	--json	.	.	.	.
pm reloadLogs	--format	.	.	.	.
pm reloadLogs	--raw	.	.	.	.
pm reloadLogs	--nostream	.	.	.	.
pm reloadLogs	--help	.	.	.	.
pm	sendSignal	.	.	.	.
pm sendSignal	BEHIND	.	.	TARGET	.
pm sendSignal	--name	.	.	.	.
pm sendSignal	--instances	.	.	.	.
pm sendSignal	--namespace	.	.	.	.
pm sendSignal	--cwd	.	.	.	.
pm sendSignal	--interpreter	.	.	.	.
pm sendSignal	--uid	.	.	.	.
pm sendSignal	--gid	.	.	.	.
pm sendSignal	--node-args	.	.	.	.
pm sendSignal	--max-memory-restart	.	.	.	.
pm sendSignal	--max-restarts	.	.	.	.
pm sendSignal	--restart-delay	.	.	.	.
pm sendSignal	--no-autorestart	.	.	.	.
pm sendSignal	--stop-exit-codes	.	.	.	.
pm sendSignal	--kill-timeout	.	.	.	.
pm sendSignal	--wait-ready	.	.	.	.
pm sendSignal	--listen-timeout	.	.	.	.
pm sendSignal	--output	.	.	.	.
pm sendSignal	--error	.	.	.	.
pm sendSignal	--log	.	.	.	.
pm sendSignal	--time	.	.	.	.
pm sendSignal	--log-type	.	.	.	.
pm sendSignal	--force	.	.	.	.
pm sendSignal	--no-daemon	.	.	.	.
pm sendSignal	--dry-run	.	.	.	.
pm sendSignal	--only	.	.	.	.
pm sendSignal	--env	.	.	.	.
pm sendSignal	--update-env	.	.	.	.
pm sendSignal	--silent	.	.	.	.
pm sendSignal	--lines	.	.	.	.
pm sendSignal	--err	.	.	.	.
pm sendSignal	--out	.	.	.	.
pm sendSignal	--json	.	.	.	.
pm sendSignal	--format	.	.	.	.
pm sendSignal	--raw	.	.	.	.
pm sendSignal	--nostream	.	.	.	.
pm sendSignal	--help	.	.	.	.
pm	kill	.	.	.	.
pm kill	BEHIND	.	.	TARGET	.
pm kill	--name	.	.	.	.
pm kill	--instances	.	.	.	.
pm kill	--namespace	.	.	.	.
pm kill	--cwd	.	.	.	.
pm kill	--interpreter	.	.	.	.
pm kill	--uid	.	.	.	.
pm kill	--gid	.	.	.	.
pm kill	--node-args	.	.	.	.
pm kill	--max-memory-restart	.	.	.	.
pm kill	--max-restarts	.	.	.	.
pm kill	--restart-delay	.	.	.	.
pm kill	--no-autorestart	.	.	.	.
pm kill	--stop-exit-codes	.	.	.	.
pm kill	--kill-timeout	.	.	.	.
pm kill	--wait-ready	.	.	.	.
pm kill	--listen-timeout	.	.	.	.
pm kill	--output	.	.	.	.
pm kill	--error	.	.	.	.
pm kill	--log	.	.	.	.
pm kill	--time	.	.	.	.
pm kill	--log-type	.	.	.	.
pm kill	--force	.	.	.	.
pm kill	--no-daemon	.	.	.	.
pm kill	--dry-run	.	.	.	.
pm kill	--only	.	.	.	.
pm kill	--env	.	.	.	.
pm kill	--update-env	.	.	.	.
pm kill	--silent	.	.	.	.
pm kill	--lines	.	.	.	.
pm kill	--err	.	.	.	.
pm kill	--out	.	.	.	.
pm kill	--json	.	.	.	.
pm kill	--format	.	.	.	.
pm kill	--raw	.	.	.	.
pm kill	--nostream	.	.	.	.
pm kill	--help	.	.	.	.
pm	save	.	.	.	.
pm save	BEHIND	.	.	TARGET	.
pm save	--name	.	.	.	.
pm save	--instances	.	.	.	.
pm save	--namespace	.	.	.	.
pm save	--cwd	.	.	.	.
pm save	--interpreter	.	.	.	.
pm save	--uid	.	.	.	.
pm save	--gid	.	.	.	.
pm save	--node-args	.	.	.	.
pm save	--max-memory-restart	.	.	.	.
pm save	--max-restarts	.	.	.	.
pm save	--restart-delay	.	.	.	.
pm save	--no-autorestart	.	.	.	.
pm save	--stop-exit-codes	.	.	.	.
pm save	--kill-timeout	.	.	.	.
pm save	--wait-ready	.	.	.	.
pm save	--listen-timeout	.	.	.	.
pm save	--output	.	.	.	.
pm save	--error	.	.	.	.
pm save	--log	.	.	.	.
pm save	--time	.	.	.	.
pm save	--log-type	.	.	.	.
pm save	--force	.	.	.	.
pm save	--no-daemon	.	.	.	.
pm save	--dry-run	.	.	.	.
pm save	--only	.	.	.	.
pm save	--env	.	.	.	.
pm save	--update-env	.	.	.	.
pm save	--silent	.	.	.	.
pm save	--lines	.	.	.	.
pm save	--err	.	.	.	.
pm save	--out	.	.	.	.
pm save	--json	.	.	.	.
pm save	--format	.	.	.	.
pm save	--raw	.	.	.	.
pm save	--nostream	.	.	.	.
pm save	--help	.	.	.	.
pm	resurrect	.	.	.	.
pm resurrect	BEHIND	.	.	TARGET	.
pm resurrect	--name	.	.	.	.
pm resurrect	--instances	.	.	.	.
pm resurrect	--namespace	.	.	.	.
pm resurrect	--cwd	.	.	.	.
pm resurrect	--interpreter	.	.	.	.
pm resurrect	--uid	.	.	.	.
pm resurrect	--gid	.	.	.	.
pm resurrect	--node-args	.	.	.	.
pm resurrect	--max-memory-restart	.	.	.	.
pm resurrect	--max-restarts	.	.	.	.
pm resurrect	--restart-delay	.	.	.	.
pm resurrect	--no-autorestart	.	.	.	.
pm resurrect	--stop-exit-codes	.	.	.	.
pm resurrect	--kill-timeout	.	.	.	.
pm resurrect	--wait-ready	.	.	.	.
pm resurrect	--listen-timeout	.	.	.	.
pm resurrect	--output	.	.	.	.
pm resurrect	--error	.	.	.	.
pm resurrect	--log	.	.	.	.
pm resurrect	--time	.	.	.	.
pm resurrect	--log-type	.	.	.	.
pm resurrect	--force	.	.	.	.
pm resurrect	--no-daemon	.	.	.	.
pm resurrect	--dry-run	.	.	.	.
pm resurrect	--only	.	.	.	.
pm resurrect	--env	.	.	.	.
pm resurrect	--update-env	.	.	.	.
pm resurrect	--silent	.	.	.	.
pm resurrect	--lines	.	.	.	.
pm resurrect	--err	.	.	.	.
pm resurrect	--out	.	.	.	.
pm resurrect	--json	.	.	.	.
pm resurrect	--format	.	.	.	.
pm resurrect	--raw	.	.	.	.
pm resurrect	--nostream	.	.	.	.
pm resurrect	--help	.	.	.	.
pm	cleardump	.	.	.	.
pm cleardump	BEHIND	.	.	TARGET	.
pm cleardump	--name	.	.	.	.
pm cleardump	--instances	.	.	.	.
pm cleardump	--namespace	.	.	.	.
pm cleardump	--cwd	.	.	.	.
pm cleardump	--interpreter	.	.	.	.
pm cleardump	--uid	.	.	.	.
pm cleardump	--gid	.	.	.	.
pm cleardump	--node-args	.	.	.	.
pm cleardump	--max-memory-restart	.	.	.	.
pm cleardump	--max-restarts	.	.	.	.
pm cleardump	--restart-delay	.	.	.	.
pm cleardump	--no-autorestart	.	.	.	.
pm cleardump	--stop-exit-codes	.	.	.	.
pm cleardump	--kill-timeout	.	.	.	.
pm cleardump	--wait-ready	.	.	.	.
pm cleardump	--listen-timeout	.	.	.	.
pm cleardump	--output	.	.	.	.
pm cleardump	--error	.	.	.	.
pm cleardump	--log	.	.	.	.
pm cleardump	--time	.	.	.	.
pm cleardump	--log-type	.	.	.	.
pm cleardump	--force	.	.	.	.
pm cleardump	--no-daemon	.	.	.	.
pm cleardump	--dry-run	.	.	.	.
pm cleardump	--only	.	.	.	.
pm cleardump	--env	.	.	.	.
pm cleardump	--update-env	.	.	.	.
pm cleardump	--silent	.	.	.	.
pm cleardump	--lines	.	.	.	.
pm cleardump	--err	.	.	.	.
pm cleardump	--out	.	.	.	.
pm cleardump	--json	.	.	.	.
pm cleardump	--format	.	.	.	.
pm cleardump	--raw	.	.	.	.
pm cleardump	--nostream	.	.	.	.
pm cleardump	--help	.	.	.	.
pm	startup	.	.	.	.
pm startup	BEHIND	.	.	TARGET	.
pm startup	--name	.	.	.	.
pm startup	--instances	.	.	.	.
pm startup	--namespace	.	.	.	.
pm startup	--cwd	.	.	.	.
pm startup	--interpreter	.	.	.	.
pm startup	--uid	.	.	.	.
pm startup	--gid	.	.	.	.
pm startup	--node-args	.	.	.	.
pm startup	--max-memory-restart	.	.	.	.
pm startup	--max-restarts	.	.	.	.
pm startup	--restart-delay	.	.	.	.
pm startup	--no-autorestart	.	.	.	.
pm startup	--stop-exit-codes	.	.	.	.
pm startup	--kill-timeout	.	.	.	.
pm startup	--wait-ready	.	.	.	.
pm startup	--listen-timeout	.	.	.	.
pm startup	--output	.	.	.	.
pm startup	--error	.	.	.	.
pm startup	--log	.	.	.	.
pm startup	--time	.	.	.	.
pm startup	--log-type	.	.	.	.
pm startup	--force	.	.	.	.
pm startup	--no-daemon	.	.	.	.
pm startup	--dry-run	.	.	.	.
pm startup	--only	.	.	.	.
pm startup	--env	.	.	.	.
pm startup	--update-env	.	.	.	.
pm startup	--silent	.	.	.	.
pm startup	--lines	.	.	.	.
pm startup	--err	.	.	.	.
pm startup	--out	.	.	.	.
pm startup	--json	.	.	.	.
pm startup	--format	.	.	.	.
pm startup	--raw	.	.	.	.
pm startup	--nostream	.	.	.	.
pm startup	--help	.	.	.	.
pm	unstartup	.	.	.	.
pm unstartup	BEHIND	.	.	TARGET	.
pm unstartup	--name	.	.	.	.
pm unstartup	--instances	.	.	.	.
pm unstartup	--namespace	.	.	.	.
pm unstartup	--cwd	.	.	.	.
pm unstartup	--interpreter	.	.	.	.
pm unstartup	--uid	.	.	.	.
pm unstartup	--gid	.	.	.	.
pm unstartup	--node-args	.	.	.	.
pm unstartup	--max-memory-restart	.	.	.	.
pm unstartup	--max-restarts	.	.	.	.
pm unstartup	--restart-delay	.	.	.	.
pm unstartup	--no-autorestart	.	.	.	.
pm unstartup	--stop-exit-codes	.	.	.	.
pm unstartup	--kill-timeout	.	.	.	.
pm unstartup	--wait-ready	.	.	.	.
pm unstartup	--listen-timeout	.	.	.	.
pm unstartup	--output	.	.	.	.
pm unstartup	--error	.	.	.	.
pm unstartup	--log	.	.	.	.
pm unstartup	--time	.	.	.	.
pm unstartup	--log-type	.	.	.	.
pm unstartup	--force	.	.	.	.
pm unstartup	--no-daemon	.	.	.	.
pm unstartup	--dry-run	.	.	.	.
pm unstartup	--only	.	.	.	.
pm unstartup	--env	.	.	.	.
pm unstartup	--update-env	.	.	.	.
pm unstartup	--silent	.	.	.	.
pm unstartup	--lines	.	.	.	.
pm unstartup	--err	.	.	.	.
pm unstartup	--out	.	.	.	.
pm unstartup	--json	.	.	.	.
pm unstartup	--format	.	.	.	.
pm unstartup	--raw	.	.	.	.
pm unstartup	--nostream	.	.	.	.
pm unstartup	--help	.	.	.	.
pm	logrotate	.	.	.	.
pm logrotate	BEHIND	.	.	TARGET	.
pm logrotate	--name	.	.	.	.
pm logrotate	--instances	.	.	.	.
pm logrotate	--namespace	.	.	.	.
pm logrotate	--cwd	.	.	.	.
pm logrotate	--interpreter	.	.	.	.
pm logrotate	--uid	.	.	.	.
pm logrotate	--gid	.	.	.	.
pm logrotate	--node-args	.	.	.	.
pm logrotate	--max-memory-restart	.	.	.	.
pm logrotate	--max-restarts	.	.	.	.
pm logrotate	--restart-delay	.	.	.	.
pm logrotate	--no-autorestart	.	.	.	.
pm logrotate	--stop-exit-codes	.	.	.	.
pm logrotate	--kill-timeout	.	.	.	.
pm logrotate	--wait-ready	.	.	.	.
pm logrotate	--listen-timeout	.	.	.	.
pm logrotate	--output	.	.	.	.
pm logrotate	--error	.	.	.	.
pm logrotate	--log	.	.	.	.
pm logrotate	--time	.	.	.	.
pm logrotate	--log-type	.	.	.	.
pm logrotate	--force	.	.	.	.
pm logrotate	--no-daemon	.	.	.	.
pm logrotate	--dry-run	.	.	.	.
pm logrotate	--only	.	.	.	.
pm logrotate	--env	.	.	.	.
pm logrotate	--update-env	.	.	.	.
pm logrotate	--silent	.	.	.	.
pm logrotate	--lines	.	.	.	.
pm logrotate	--err	.	.	.	.
pm logrotate	--out	.	.	.	.
pm logrotate	--json	.	.	.	.
pm logrotate	--format	.	.	.	.
pm logrotate	--raw	.	.	.	.
pm logrotate	--nostream	.	.	.	.
pm logrotate	--help	.	.	.	.
pm	init	.	.	.	.
pm init	BEHIND	.	.	TARGET	.
pm init	--name	.	.	.	.
pm init	--instances	.	.	.	.
pm init	--namespace	.	.	.	.
pm init	--cwd	.	.	.	.
pm init	--interpreter	.	.	.	.
pm init	--uid	.	.	.	.
pm init	--gid	.	.	.	.
pm init	--node-args	.	.	.	.
pm init	--max-memory-restart	.	.	.	.
pm init	--max-restarts	.	.	.	.
pm init	--restart-delay	.	.	.	.
pm init	--no-autorestart	.	.	.	.
pm init	--stop-exit-codes	.	.	.	.
pm init	--kill-timeout	.	.	.	.
pm init	--wait-ready	.	.	.	.
pm init	--listen-timeout	.	.	.	.
pm init	--output	.	.	.	.
pm init	--error	.	.	.	.
pm init	--log	.	.	.	.
pm init	--time	.	.	.	.
pm init	--log-type	.	.	.	.
pm init	--force	.	.	.	.
pm init	--no-daemon	.	.	.	.
pm init	--dry-run	.	.	.	.
pm init	--only	.	.	.	.
pm init	--env	.	.	.	.
pm init	--update-env	.	.	.	.
pm init	--silent	.	.	.	.
pm init	--lines	.	.	.	.
pm init	--err	.	.	.	.
pm init	--out	.	.	.	.
pm init	--json	.	.	.	.
pm init	--format	.	.	.	.
pm init	--raw	.	.	.	.
pm init	--nostream	.	.	.	.
pm init	--help	.	.	.	.
pm	ping	.	.	.	.
pm ping	BEHIND	.	.	TARGET	.
pm ping	--name	.	.	.	.
pm ping	--instances	.	.	.	.
pm ping	--namespace	.	.	.	.
pm ping	--cwd	.	.	.	.
pm ping	--interpreter	.	.	.	.
pm ping	--uid	.	.	.	.
pm ping	--gid	.	.	.	.
pm ping	--node-args	.	.	.	.
pm ping	--max-memory-restart	.	.	.	.
pm ping	--max-restarts	.	.	.	.
pm ping	--restart-delay	.	.	.	.
pm ping	--no-autorestart	.	.	.	.
pm ping	--stop-exit-codes	.	.	.	.
pm ping	--kill-timeout	.	.	.	.
pm ping	--wait-ready	.	.	.	.
pm ping	--listen-timeout	.	.	.	.
pm ping	--output	.	.	.	.
pm ping	--error	.	.	.	.
pm ping	--log	.	.	.	.
pm ping	--time	.	.	.	.
pm ping	--log-type	.	.	.	.
pm ping	--force	.	.	.	.
pm ping	--no-daemon	.	.	.	.
pm ping	--dry-run	.	.	.	.
pm ping	--only	.	.	.	.
pm ping	--env	.	.	.	.
pm ping	--update-env	.	.	.	.
pm ping	--silent	.	.	.	.
pm ping	--lines	.	.	.	.
pm ping	--err	.	.	.	.
pm ping	--out	.	.	.	.
pm ping	--json	.	.	.	.
pm ping	--format	.	.	.	.
pm ping	--raw	.	.	.	.
pm ping	--nostream	.	.	.	.
pm ping	--help	.	.	.	.
pm	update	.	.	.	.
pm update	BEHIND	.	.	TARGET	.
pm update	--name	.	.	.	.
pm update	--instances	.	.	.	.
pm update	--namespace	.	.	.	.
pm update	--cwd	.	.	.	.
pm update	--interpreter	.	.	.	.
pm update	--uid	.	.	.	.
pm update	--gid	.	.	.	.
pm update	--node-args	.	.	.	.
pm update	--max-memory-restart	.	.	.	.
pm update	--max-restarts	.	.	.	.
pm update	--restart-delay	.	.	.	.
pm update	--no-autorestart	.	.	.	.
pm update	--stop-exit-codes	.	.	.	.
pm update	--kill-timeout	.	.	.	.
pm update	--wait-ready	.	.	.	.
pm update	--listen-timeout	.	.	.	.
pm update	--output	.	.	.	.
pm update	--error	.	.	.	.
pm update	--log	.	.	.	.
pm update	--time	.	.	.	.
pm update	--log-type	.	.	.	.
pm update	--force	.	.	.	.
pm update	--no-daemon	.	.	.	.
pm update	--dry-run	.	.	.	.
pm update	--only	.	.	.	.
pm update	--env	.	.	.	.
pm update	--update-env	.	.	.	.
pm update	--silent	.	.	.	.
pm update	--lines	.	.	.	.
pm update	--err	.	.	.	.
pm update	--out	.	.	.	.
pm update	--json	.	.	.	.
pm update	--format	.	.	.	.
pm update	--raw	.	.	.	.
pm update	--nostream	.	.	.	.
pm update	--help	.	.	.	.
pm	version	.	.	.	.
pm version	BEHIND	.	.	TARGET	.
pm version	--name	.	.	.	.
pm version	--instances	.	.	.	.
pm version	--namespace	.	.	.	.
pm version	--cwd	.	.	.	.
pm version	--interpreter	.	.	.	.
pm version	--uid	.	.	.	.
pm version	--gid	.	.	.	.
pm version	--node-args	.	.	.	.
pm version	--max-memory-restart	.	.	.	.
pm version	--max-restarts	.	.	.	.
pm version	--restart-delay	.	.	.	.
pm version	--no-autorestart	.	.	.	.
pm version	--stop-exit-codes	.	.	.	.
pm version	--kill-timeout	.	.	.	.
pm version	--wait-ready	.	.	.	.
pm version	--listen-timeout	.	.	.	.
pm version	--output	.	.	.	.
pm version	--error	.	.	.	.
pm version	--log	.	.	.	.
pm version	--time	.	.	.	.
pm version	--log-type	.	.	.	.
pm version	--force	.	.	.	.
pm version	--no-daemon	.	.	.	.
pm version	--dry-run	.	.	.	.
pm version	--only	.	.	.	.
pm version	--env	.	.	.	.
pm version	--update-env	.	.	.	.
pm version	--silent	.	.	.	.
pm version	--lines	.	.	.	.
pm version	--err	.	.	.	.
pm version	--out	.	.	.	.
pm version	--json	.	.	.	.
pm version	--format	.	.	.	.
pm version	--raw	.	.	.	.
pm version	--nostream	.	.	.	.
pm version	--help	.	.	.	.
pm	help	.	.	.	.
pm help	BEHIND	.	.	TARGET	.
pm help	--name	.	.	.	.
pm help	--instances	.	.	.	.
pm help	--namespace	.	.	.	.
pm help	--cwd	.	.	.	.
pm help	--interpreter	.	.	.	.
pm help	--uid	.	.	.	.
pm help	--gid	.	.	.	.
pm help	--node-args	.	.	.	.
pm help	--max-memory-restart	.	.	.	.
pm help	--max-restarts	.	.	.	.
pm help	--restart-delay	.	.	.	.
pm help	--no-autorestart	.	.	.	.
pm help	--stop-exit-codes	.	.	.	.
pm help	--kill-timeout	.	.	.	.
pm help	--wait-ready	.	.	.	.
pm help	--listen-timeout	.	.	.	.
pm help	--output	.	.	.	.
pm help	--error	.	.	.	.
pm help	--log	.	.	.	.
pm help	--time	.	.	.	.
pm help	--log-type	.	.	.	.
pm help	--force	.	.	.	.
pm help	--no-daemon	.	.	.	.
pm help	--dry-run	.	.	.	.
pm help	--only	.	.	.	.
pm help	--env	.	.	.	.
pm help	--update-env	.	.	.	.
pm help	--silent	.	.	.	.
pm help	--lines	.	.	.	.
pm help	--err	.	.	.	.
pm help	--out	.	.	.	.
pm help	--json	.	.	.	.
pm help	--format	.	.	.	.
pm help	--raw	.	.	.	.
pm help	--nostream	.	.	.	.
pm help	--help	.	.	.	.
# end of the table
'

_pm_apps() { pm-stat --match all 2>/dev/null; }

# The line of the option (or verb) $2 of $1: its values and what is named behind it, in $values and $behind.
_pm_find() {
    local key name letter
    while IFS=$'\t' read -r key name letter values behind _; do
        [[ $key == "$1" && ($name == "$2" || $letter == "$2") ]] && return
    done <<<"$_pm_table"
    values='' behind=''
    return 1
}

# The names of all that $1 has.
_pm_names() {
    local key name
    while IFS=$'\t' read -r key name _; do [[ $key != "$1" ]] || printf '%s\n' "$name"; done <<<"$_pm_table"
}

# Offers the lines of $2 that begin with $1. (Not compgen -W: a name may hold blanks and dollars.)
_pm_offer() {
    local line
    while IFS= read -r line; do
        [[ -n $line && $line == "$1"* ]] && COMPREPLY+=("$(printf '%q' "$line")")
    done <<<"$2"
}

# Offers the values that begin with $1: of `always|never|FILE` the words in small letters, and what the others stand for.
_pm_values() {
    local form
    while IFS= read -r -d '|' form; do
        case $form in
        FILE) _pm_offer "$1" "$(compgen -f -- "$1")" ;;
        DIR) _pm_offer "$1" "$(compgen -d -- "$1")" ;;
        SIG) _pm_offer "$1" "$(compgen -A signal | sed -n 's/^SIG//p')" ;;
        APP) _pm_offer "$1" "$(_pm_apps)" ;;
        TARGET) _pm_offer "$1" "$(echo all && _pm_apps)" ;;
        CHAIN) _pm_offer "$1" "$(compgen -c -- "$1" | sort -u)" ;;
        *[A-Z]* | -) ;;
        *) _pm_offer "$1" "$form" ;;
        esac
    done <<<"$2|"
    [[ $2 != *FILE* && $2 != *DIR* ]] || compopt -o filenames 2>/dev/null
    return 0
}

_pm() {
    local cur=${COMP_WORDS[COMP_CWORD]} key=${COMP_WORDS[0]##*/} word values='' behind='' wanted='' rest
    COMPREPLY=()
    _pm_find "$key" BEHIND
    rest=$behind
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        # Of --name=web bash has made three words.
        [[ $word != = ]] || continue
        if [[ -n $wanted ]]; then
            wanted=''
        elif [[ $word == -* ]]; then
            _pm_find "$key" "$word"
            [[ $values == . ]] || wanted=$values
            [[ -z $behind || $behind == . ]] || rest=$behind
        elif _pm_find "${word##*/}" BEHIND && [[ $rest == CHAIN ]]; then
            key=${word##*/} rest=$behind
        elif [[ $key == pm ]] && _pm_find "pm $word" BEHIND; then
            key="pm $word" rest=$behind
        elif [[ $rest == CHAIN ]]; then
            # Behind the program the words are the program's.
            return 0
        fi
    done
    [[ $cur != = ]] || cur=''
    if [[ -n $wanted ]]; then
        _pm_values "$cur" "$wanted"
    elif [[ $cur == -* ]]; then
        _pm_offer "$cur" "$(_pm_names "$key" | grep ^-)"
    elif [[ $key == pm ]]; then
        _pm_offer "$cur" "$(_pm_names pm | grep -v -e ^- -e BEHIND)"
    else
        _pm_values "$cur" "$rest"
    fi
    return 0
}

# Where nothing of this fits, files do.
complete -o default -F _pm pm pm-fork pm-log pm-restart pm-cluster pm-stat
