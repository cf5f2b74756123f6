# Completion of fish for pm and the tools: verbs, options and their values, apps, and what a chain goes on with.

# A line for each option: whose it is, its name, its letter, its values, what is named behind it, what it does.
# Made of the tables of the tools: cargo test -p pm-tests --test generated -- --ignored
set -g __pm_table '
# table
pm-fork	BEHIND	.	.	CHAIN	Becomes a background service with a name and log files, then runs CHAIN.
pm-fork	--name	.	NAME	.	the app\'s name [after the first file in CHAIN]
pm-fork	--namespace	.	NAME	.	its group of apps [default]
pm-fork	--cwd	.	DIR	.	the directory to run in [this one]
pm-fork	--after	.	APP	.	start once APP is ready, end before it; repeatable
pm-fork	--out	.	FILE	.	append stdout to FILE [out.log of the app]
pm-fork	--err	.	FILE	.	append stderr to FILE [err.log of the app]
pm-fork	--wait	.	ready|started|none	.	return when it is ready, started; none: at once [ready]
pm-fork	--timeout	.	TIME	.	wait no longer, and exit 124 [30s]
pm-fork	--file	-f	FILE|-	.	start the apps of an ecosystem file
pm-fork	--only	.	A,B	.	of the file: these apps
pm-fork	--env	.	NAME	.	of the file: env_NAME over env
pm-fork	--set	.	KEY=VALUE	.	a field of PM2\'s for each app, over what the file says
pm-fork	--update	.	.	.	say what the file changes of apps that run, and write their variables
pm-fork	--force	.	.	.	an app whose name runs gets a number behind its name
pm-fork	--dry-run	.	.	.	start nothing, print what would be
pm-fork	--again	.	.	APP	start stopped apps as they were started before
pm-fork	--update-env	.	.	.	with --again, --signal HUP: in this environment
pm-fork	--moved	.	.	.	with --signal HUP: the new release may listen elsewhere
pm-fork	--restart	.	.	.	with --again or -f: stop first what runs, if it can be started again
pm-fork	--signal	.	SIG	APP	send the apps\' outermost processes a signal
pm-fork	--send	.	LINE	APP	write a line to what the apps read, in fork mode
pm-fork	--stop	.	.	APP	end apps, and what killed supervisors left of them
pm-fork	--workers	.	.	.	with --signal: their workers, instead
pm-fork	--scale	.	N|+N|-N	APP	have so many workers, or so many more or fewer
pm-fork	--reset	.	.	APP	count the restarts from 0 on
pm-fork	--flush	.	.	APP	empty the logs
pm-fork	--remove	.	.	APP	forget stopped apps, and delete their logs
pm-fork	--save	.	.	.	print all apps as -f takes them
pm-fork	--keep	.	.	.	what --save printed, on stdin, becomes the saved list
pm-fork	--help	-h	.	.	what there is
pm-fork	--version	-V	.	.	the version
pm-log	BEHIND	.	.	CHAIN	Writes the lines of CHAIN, or of its input, to files that it rotates.
pm-log	--out	.	FILE	.	where stdout goes [out.log of the app, else stdout]
pm-log	--err	.	FILE	.	where stderr goes [err.log of the app, else stderr]
pm-log	--both	.	FILE	.	where both go, beside these
pm-log	--echo	.	TEXT	.	write each line, behind TEXT, to our own output, too
pm-log	--time	.	.	.	put the time (UTC) in front of each line
pm-log	--json	.	.	.	write each line as a JSON object
pm-log	--max-size	.	SIZE	.	rotate a file before it is larger than this
pm-log	--every	.	DURATION	.	rotate at each new period: 1d is at midnight UTC
pm-log	--keep	.	N	.	rotated files that are kept: FILE.1 to FILE.N [10]
pm-log	--rotate	.	.	.	rotate the files now, while others write them, and end
pm-log	--help	-h	.	.	what there is
pm-log	--version	-V	.	.	the version
pm-restart	BEHIND	.	.	CHAIN	Restarts CHAIN when it ends or grows too fat; of a pm-cluster, each worker.
pm-restart	--name	.	NAME	.	the app\'s name (derived from CHAIN)
pm-restart	--max-mem	.	SIZE	.	memory of a worker and all it started: 512M (none)
pm-restart	--max-lag	.	TIME	.	longest wait of a pm-cluster worker\'s clients (none)
pm-restart	--restart	.	always|on-failure|never	.	always, on-failure or never (always)
pm-restart	--stop-codes	.	LIST	.	exit codes after which it is not restarted: 0,3
pm-restart	--backoff	.	FIRST..LONGEST	.	delay between failed starts, doubling (100ms..15s)
pm-restart	--restart-delay	.	TIME|FIRST..LONGEST	.	instead: exactly this before each; MIN..MAX: growing
pm-restart	--cron	.	PATTERN	.	replace it at set times: \'0 3 * * *\'; repeatable
pm-restart	--watch	.	PATH	.	replace it when files there change; repeatable
pm-restart	--ignore	.	GLOB	.	with --watch: but not these; repeatable
pm-restart	--watch-delay	.	TIME	.	with --watch: once all is quiet for this long (200ms)
pm-restart	--on	.	EVENT=CMD	.	run CMD at crash, gave-up, aborted, ready ...; repeatable
pm-restart	--log-size	.	SIZE|none	.	in the background: rotate logs above it; or none (10M)
pm-restart	--log-keep	.	N	.	and keep so many rotated ones (10)
pm-restart	--stable	.	TIME	.	up this long, earlier failures are forgotten (10s)
pm-restart	--intensity	.	N/TIME	.	more restarts than N within TIME: give up (16/60s)
pm-restart	--grace	.	TIME	.	from the stop signal to KILL (8s)
pm-restart	--stop-delay	.	TIME	.	after TERM workers go on serving for this long (0s)
pm-restart	--stop-signal	.	SIG|message	.	asks a worker to stop; message: \'shutdown\' (TERM)
pm-restart	--stop-group	.	.	.	asks all of its process group, not its leader alone
pm-restart	--ready	.	listen|message|notify	.	listen, message (\'ready\') or notify (listen)
pm-restart	--ready-after	.	TIME	.	with listen: up so long is ready, too; or never (1s; Node: 5s)
pm-restart	--ready-timeout	.	TIME	.	not ready by then: the start has failed (30s)
pm-restart	--env-file	.	FILE	.	variables for CHAIN; a HUP reads them again
pm-restart	--mem-interval	.	TIME	.	how often memory is looked at, with --max-mem (1s)
pm-restart	--help	-h	.	.	what there is
pm-restart	--version	-V	.	.	the version
pm-cluster	BEHIND	.	.	CHAIN	Runs N copies of PROG behind one address; replaces those that die.
pm-cluster	--workers	-n	N|max	.	copies; 0: one per usable CPU, -1: one fewer (0)
pm-cluster	--name	.	NAME	.	the app\'s name (derived from PROG and ARGS)
pm-cluster	--grace	.	TIME	.	from the stop signal to KILL (8s)
pm-cluster	--stop-delay	.	TIME	.	after TERM workers go on serving for this long (0s)
pm-cluster	--stop-signal	.	SIG|message	.	asks a worker to stop; message: \'shutdown\' (TERM)
pm-cluster	--stop-group	.	.	.	asks all of its process group, not its leader alone
pm-cluster	--ready	.	listen|message|notify	.	listen, message (\'ready\') or notify (listen)
pm-cluster	--health	.	http://[HOST]:PORT/PATH	.	ready once this is answered well: http://:PORT/PATH
pm-cluster	--health-cmd	.	CMD	.	ready once this command (sh -c) exits with 0
pm-cluster	--ready-after	.	TIME	.	with listen: up so long is ready, too; or never (1s; Node: 5s)
pm-cluster	--ready-timeout	.	TIME	.	not ready by then: the start has failed (30s)
pm-cluster	--soak	.	TIME	.	a reload\'s first worker must live this long (1s)
pm-cluster	--parallel	.	K	.	workers that a reload starts at a time (1)
pm-cluster	--overlap	.	K	.	workers that may still be draining while a reload goes on (N)
pm-cluster	--env-file	.	FILE	.	variables for workers, read again at each reload
pm-cluster	--out	.	FILE	.	append the workers\' output; %s in FILE is the slot
pm-cluster	--err	.	FILE	.	the same for their errors
pm-cluster	--no-preload	.	.	.	no drain script in Node workers
pm-cluster	--no-close-rewrite	.	.	.	do not tell clients of a draining server to move on
pm-cluster	--reload	.	beside|stop-start	.	new workers beside the old ones, or stop-start (beside)
pm-cluster	--apart	.	.	.	copies share no port, and none overlaps its successor
pm-cluster	--balance	.	lanes|shared|rr	.	lanes, shared or rr (lanes)
pm-cluster	--sticky	.	.	.	clients of one address stay with one worker
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
pm	start	.	.	.	Starts a script, a command, a config file, known apps; back when they are ready.
pm start	BEHIND	.	.	TARGET|FILE	Starts a script, a command, a config file, known apps; back when they are ready.
pm start	--only	.	A,B	.	of a config file: these apps
pm start	--env	.	NAME	.	of a config file: env_NAME over env
pm start	--update-env	-a	.	.	take this shell\'s variables
pm start	--force	-f	.	.	a second app of the script, NAME-2
pm start	--no-daemon	.	.	.	in the foreground, as a container wants it
pm start	--dry-run	.	.	.	start nothing, say what would run
pm start	--attach	.	.	.	then show the logs
pm start	--name	-n	NAME	.	its name [after the script]
pm start	--instances	-i	N|max	.	so many; of JavaScript: cluster mode
pm start	--namespace	.	NAME	.	its group of apps
pm start	--cwd	.	DIR	.	where it runs [here]
pm start	--interpreter	.	PROG	.	what runs the script; none: itself
pm start	--interpreter-args	.	ARGS	.	as --node-args
pm start	--node-args	.	ARGS	.	options of Node
pm start	--execute-command	-x	.	.	as --exec-mode fork
pm start	--exec-mode	.	fork|cluster	.	whether instances share a port
pm start	--sticky	.	.	.	clients of one address stay with one worker
pm start	--reload	.	beside|stop-start	.	new workers beside old ones, or stop-start
pm start	--uid	.	USER	.	run as this user
pm start	--user	-u	USER	.	as --uid
pm start	--gid	.	GROUP	.	and group
pm start	--max-memory-restart	.	SIZE	.	replace a worker above it: 512M
pm start	--max-restarts	.	N	.	give up after so many
pm start	--min-uptime	.	MS	.	up so long, a start has succeeded
pm start	--restart-delay	.	MS	.	wait before each restart
pm start	--exp-backoff-restart-delay	.	MS	.	as --restart-delay, and growing
pm start	--no-autorestart	.	.	.	a job: its end is its end
pm start	--stop-exit-codes	.	N,N	.	after these it stays down
pm start	--kill-timeout	-k	MS	.	for a stop, before KILL
pm start	--wait-ready	.	.	.	ready is: process.send(\'ready\')
pm start	--wait-listen	.	.	.	it must listen
pm start	--listen-timeout	.	MS	.	to listen, or be ready, within
pm start	--shutdown-with-message	.	.	.	\'shutdown\' instead of a signal
pm start	--output	-o	FILE	.	what it writes to stdout
pm start	--error	-e	FILE	.	and to stderr
pm start	--log	-l	FILE	.	both
pm start	--disable-logs	.	.	.	no files
pm start	--merge-logs	.	.	.	as always: one file for all workers
pm start	--time	.	.	.	a time in front of each line
pm start	--log-type	.	json	.	each line is an object
pm start	--log-date-format	.	F	.	as --time; its format is RFC 3339
pm start	--log-max-size	.	SIZE	.	rotate its logs above it [10M]
pm start	--log-keep	.	N	.	as many rotated ones [10]
pm start	--no-log-rotate	.	.	.	do not rotate its logs
pm start	--filter-env	.	PART	.	no variable with it in its name
pm start	--source-map-support	.	.	.	Node\'s --enable-source-maps
pm start	--after	.	APP	.	start once APP is ready, end before it
pm start	--no-autostart	.	.	.	write it down, start nothing
pm start	--no-treekill	.	.	.	the signal goes to the program alone
pm start	--pid	-p	FILE	.	a warning: ~/.pm/APP/pid is it
pm start	--cron	-c	T	.	as --cron-restart
pm start	--cron-restart	.	PATTERN	.	restart it at set times: \'0 3 * * *\'
pm start	--watch	.	.	.	restart it when files change: here, or in DIR
pm start	--ignore-watch	.	GLOB	.	with --watch: but not these
pm start	--on	.	EVENT=CMD	.	run CMD at crash, gave-up, aborted, ready ...
pm start	--health	.	URL	.	of a cluster: ready once this is answered well
pm start	--health-cmd	.	CMD	.	as --health: once CMD exits with 0
pm start	--max-lag	.	TIME	.	of a cluster: replace who lets clients wait
pm start	--watch-delay	.	MS	.	with --watch: so long after the last
pm start	--silent	-s	.	.	no table behind it
pm start	--no-color	.	.	.	no colours
pm start	--help	-h	.	.	this text
pm	runtime	.	.	.	Runs a script, or all apps of a file, in front, as pm-runtime; ends with them.
pm runtime	BEHIND	.	.	FILE] [-- ARGS OF THE APP	Runs a script, or all apps of a file, in front, as pm-runtime; ends with them.
pm runtime	--only	.	A,B	.	of a config file: these apps
pm runtime	--env	.	NAME	.	of a config file: env_NAME over env
pm runtime	--raw	.	.	.	lines as they are, without the app\'s name
pm runtime	--json	.	.	.	each line as an object
pm runtime	--name	-n	NAME	.	its name [after the script]
pm runtime	--instances	-i	N|max	.	so many; of JavaScript: cluster mode
pm runtime	--namespace	.	NAME	.	its group of apps
pm runtime	--cwd	.	DIR	.	where it runs [here]
pm runtime	--interpreter	.	PROG	.	what runs the script; none: itself
pm runtime	--interpreter-args	.	ARGS	.	as --node-args
pm runtime	--node-args	.	ARGS	.	options of Node
pm runtime	--execute-command	-x	.	.	as --exec-mode fork
pm runtime	--exec-mode	.	fork|cluster	.	whether instances share a port
pm runtime	--sticky	.	.	.	clients of one address stay with one worker
pm runtime	--reload	.	beside|stop-start	.	new workers beside old ones, or stop-start
pm runtime	--uid	.	USER	.	run as this user
pm runtime	--user	-u	USER	.	as --uid
pm runtime	--gid	.	GROUP	.	and group
pm runtime	--max-memory-restart	.	SIZE	.	replace a worker above it: 512M
pm runtime	--max-restarts	.	N	.	give up after so many
pm runtime	--min-uptime	.	MS	.	up so long, a start has succeeded
pm runtime	--restart-delay	.	MS	.	wait before each restart
pm runtime	--exp-backoff-restart-delay	.	MS	.	as --restart-delay, and growing
pm runtime	--no-autorestart	.	.	.	a job: its end is its end
pm runtime	--stop-exit-codes	.	N,N	.	after these it stays down
pm runtime	--kill-timeout	-k	MS	.	for a stop, before KILL
pm runtime	--wait-ready	.	.	.	ready is: process.send(\'ready\')
pm runtime	--wait-listen	.	.	.	it must listen
pm runtime	--listen-timeout	.	MS	.	to listen, or be ready, within
pm runtime	--shutdown-with-message	.	.	.	\'shutdown\' instead of a signal
pm runtime	--output	-o	FILE	.	what it writes to stdout
pm runtime	--error	-e	FILE	.	and to stderr
pm runtime	--log	-l	FILE	.	both
pm runtime	--disable-logs	.	.	.	no files
pm runtime	--merge-logs	.	.	.	as always: one file for all workers
pm runtime	--time	.	.	.	a time in front of each line
pm runtime	--log-type	.	json	.	each line is an object
pm runtime	--log-date-format	.	F	.	as --time; its format is RFC 3339
pm runtime	--log-max-size	.	SIZE	.	rotate its logs above it [10M]
pm runtime	--log-keep	.	N	.	as many rotated ones [10]
pm runtime	--no-log-rotate	.	.	.	do not rotate its logs
pm runtime	--filter-env	.	PART	.	no variable with it in its name
pm runtime	--source-map-support	.	.	.	Node\'s --enable-source-maps
pm runtime	--after	.	APP	.	start once APP is ready, end before it
pm runtime	--no-autostart	.	.	.	write it down, start nothing
pm runtime	--no-treekill	.	.	.	the signal goes to the program alone
pm runtime	--pid	-p	FILE	.	a warning: ~/.pm/APP/pid is it
pm runtime	--cron	-c	T	.	as --cron-restart
pm runtime	--cron-restart	.	PATTERN	.	restart it at set times: \'0 3 * * *\'
pm runtime	--watch	.	.	.	restart it when files change: here, or in DIR
pm runtime	--ignore-watch	.	GLOB	.	with --watch: but not these
pm runtime	--on	.	EVENT=CMD	.	run CMD at crash, gave-up, aborted, ready ...
pm runtime	--health	.	URL	.	of a cluster: ready once this is answered well
pm runtime	--health-cmd	.	CMD	.	as --health: once CMD exits with 0
pm runtime	--max-lag	.	TIME	.	of a cluster: replace who lets clients wait
pm runtime	--watch-delay	.	MS	.	with --watch: so long after the last
pm runtime	--silent	-s	.	.	no table behind it
pm runtime	--no-color	.	.	.	no colours
pm runtime	--help	-h	.	.	this text
pm	stop	.	.	.	Ends apps, all at once; back when they have ended. They stay in the list.
pm stop	BEHIND	.	.	TARGET	Ends apps, all at once; back when they have ended. They stay in the list.
pm stop	--only	.	A,B	.	of a config file: these apps
pm stop	--env	.	NAME	.	of a config file: env_NAME over env
pm stop	--watch	.	.	.	and watch files no longer, nor after the next start
pm stop	--silent	-s	.	.	no table behind it
pm stop	--no-color	.	.	.	no colours
pm stop	--help	-h	.	.	this text
pm	restart	.	.	.	Ends apps and starts them as they were started, or as their config file says.
pm restart	BEHIND	.	.	TARGET|FILE	Ends apps and starts them as they were started, or as their config file says.
pm startOrRestart	BEHIND	.	restart	TARGET|FILE	Ends apps and starts them as they were started, or as their config file says.
pm restart	--only	.	A,B	.	of a config file: these apps
pm restart	--env	.	NAME	.	of a config file: env_NAME over env
pm restart	--update-env	-a	.	.	take this shell\'s variables
pm restart	--force	-f	.	.	of a config file: restart where a reload is not enough
pm restart	--name	-n	NAME	.	its name [after the script]
pm restart	--instances	-i	N|max	.	so many; of JavaScript: cluster mode
pm restart	--namespace	.	NAME	.	its group of apps
pm restart	--cwd	.	DIR	.	where it runs [here]
pm restart	--interpreter	.	PROG	.	what runs the script; none: itself
pm restart	--interpreter-args	.	ARGS	.	as --node-args
pm restart	--node-args	.	ARGS	.	options of Node
pm restart	--execute-command	-x	.	.	as --exec-mode fork
pm restart	--exec-mode	.	fork|cluster	.	whether instances share a port
pm restart	--sticky	.	.	.	clients of one address stay with one worker
pm restart	--reload	.	beside|stop-start	.	new workers beside old ones, or stop-start
pm restart	--uid	.	USER	.	run as this user
pm restart	--user	-u	USER	.	as --uid
pm restart	--gid	.	GROUP	.	and group
pm restart	--max-memory-restart	.	SIZE	.	replace a worker above it: 512M
pm restart	--max-restarts	.	N	.	give up after so many
pm restart	--min-uptime	.	MS	.	up so long, a start has succeeded
pm restart	--restart-delay	.	MS	.	wait before each restart
pm restart	--exp-backoff-restart-delay	.	MS	.	as --restart-delay, and growing
pm restart	--no-autorestart	.	.	.	a job: its end is its end
pm restart	--stop-exit-codes	.	N,N	.	after these it stays down
pm restart	--kill-timeout	-k	MS	.	for a stop, before KILL
pm restart	--wait-ready	.	.	.	ready is: process.send(\'ready\')
pm restart	--wait-listen	.	.	.	it must listen
pm restart	--listen-timeout	.	MS	.	to listen, or be ready, within
pm restart	--shutdown-with-message	.	.	.	\'shutdown\' instead of a signal
pm restart	--output	-o	FILE	.	what it writes to stdout
pm restart	--error	-e	FILE	.	and to stderr
pm restart	--log	-l	FILE	.	both
pm restart	--disable-logs	.	.	.	no files
pm restart	--merge-logs	.	.	.	as always: one file for all workers
pm restart	--time	.	.	.	a time in front of each line
pm restart	--log-type	.	json	.	each line is an object
pm restart	--log-date-format	.	F	.	as --time; its format is RFC 3339
pm restart	--log-max-size	.	SIZE	.	rotate its logs above it [10M]
pm restart	--log-keep	.	N	.	as many rotated ones [10]
pm restart	--no-log-rotate	.	.	.	do not rotate its logs
pm restart	--filter-env	.	PART	.	no variable with it in its name
pm restart	--source-map-support	.	.	.	Node\'s --enable-source-maps
pm restart	--after	.	APP	.	start once APP is ready, end before it
pm restart	--no-autostart	.	.	.	write it down, start nothing
pm restart	--no-treekill	.	.	.	the signal goes to the program alone
pm restart	--pid	-p	FILE	.	a warning: ~/.pm/APP/pid is it
pm restart	--cron	-c	T	.	as --cron-restart
pm restart	--cron-restart	.	PATTERN	.	restart it at set times: \'0 3 * * *\'
pm restart	--watch	.	.	.	restart it when files change: here, or in DIR
pm restart	--ignore-watch	.	GLOB	.	with --watch: but not these
pm restart	--on	.	EVENT=CMD	.	run CMD at crash, gave-up, aborted, ready ...
pm restart	--health	.	URL	.	of a cluster: ready once this is answered well
pm restart	--health-cmd	.	CMD	.	as --health: once CMD exits with 0
pm restart	--max-lag	.	TIME	.	of a cluster: replace who lets clients wait
pm restart	--watch-delay	.	MS	.	with --watch: so long after the last
pm restart	--silent	-s	.	.	no table behind it
pm restart	--no-color	.	.	.	no colours
pm restart	--help	-h	.	.	this text
pm	reload	.	.	.	Replaces all workers, each new one ready first; cluster mode loses no request.
pm reload	BEHIND	.	.	TARGET|FILE	Replaces all workers, each new one ready first; cluster mode loses no request.
pm gracefulReload	BEHIND	.	reload	TARGET|FILE	Replaces all workers, each new one ready first; cluster mode loses no request.
pm startOrReload	BEHIND	.	reload	TARGET|FILE	Replaces all workers, each new one ready first; cluster mode loses no request.
pm startOrGracefulReload	BEHIND	.	reload	TARGET|FILE	Replaces all workers, each new one ready first; cluster mode loses no request.
pm reload	--only	.	A,B	.	of a config file: these apps
pm reload	--env	.	NAME	.	of a config file: env_NAME over env
pm reload	--update-env	-a	.	.	take this shell\'s variables
pm reload	--force	-f	.	.	of a config file: restart where a reload is not enough
pm reload	--moved	.	.	.	the new code is meant to listen elsewhere
pm reload	--name	-n	NAME	.	its name [after the script]
pm reload	--instances	-i	N|max	.	so many; of JavaScript: cluster mode
pm reload	--namespace	.	NAME	.	its group of apps
pm reload	--cwd	.	DIR	.	where it runs [here]
pm reload	--interpreter	.	PROG	.	what runs the script; none: itself
pm reload	--interpreter-args	.	ARGS	.	as --node-args
pm reload	--node-args	.	ARGS	.	options of Node
pm reload	--execute-command	-x	.	.	as --exec-mode fork
pm reload	--exec-mode	.	fork|cluster	.	whether instances share a port
pm reload	--sticky	.	.	.	clients of one address stay with one worker
pm reload	--reload	.	beside|stop-start	.	new workers beside old ones, or stop-start
pm reload	--uid	.	USER	.	run as this user
pm reload	--user	-u	USER	.	as --uid
pm reload	--gid	.	GROUP	.	and group
pm reload	--max-memory-restart	.	SIZE	.	replace a worker above it: 512M
pm reload	--max-restarts	.	N	.	give up after so many
pm reload	--min-uptime	.	MS	.	up so long, a start has succeeded
pm reload	--restart-delay	.	MS	.	wait before each restart
pm reload	--exp-backoff-restart-delay	.	MS	.	as --restart-delay, and growing
pm reload	--no-autorestart	.	.	.	a job: its end is its end
pm reload	--stop-exit-codes	.	N,N	.	after these it stays down
pm reload	--kill-timeout	-k	MS	.	for a stop, before KILL
pm reload	--wait-ready	.	.	.	ready is: process.send(\'ready\')
pm reload	--wait-listen	.	.	.	it must listen
pm reload	--listen-timeout	.	MS	.	to listen, or be ready, within
pm reload	--shutdown-with-message	.	.	.	\'shutdown\' instead of a signal
pm reload	--output	-o	FILE	.	what it writes to stdout
pm reload	--error	-e	FILE	.	and to stderr
pm reload	--log	-l	FILE	.	both
pm reload	--disable-logs	.	.	.	no files
pm reload	--merge-logs	.	.	.	as always: one file for all workers
pm reload	--time	.	.	.	a time in front of each line
pm reload	--log-type	.	json	.	each line is an object
pm reload	--log-date-format	.	F	.	as --time; its format is RFC 3339
pm reload	--log-max-size	.	SIZE	.	rotate its logs above it [10M]
pm reload	--log-keep	.	N	.	as many rotated ones [10]
pm reload	--no-log-rotate	.	.	.	do not rotate its logs
pm reload	--filter-env	.	PART	.	no variable with it in its name
pm reload	--source-map-support	.	.	.	Node\'s --enable-source-maps
pm reload	--after	.	APP	.	start once APP is ready, end before it
pm reload	--no-autostart	.	.	.	write it down, start nothing
pm reload	--no-treekill	.	.	.	the signal goes to the program alone
pm reload	--pid	-p	FILE	.	a warning: ~/.pm/APP/pid is it
pm reload	--cron	-c	T	.	as --cron-restart
pm reload	--cron-restart	.	PATTERN	.	restart it at set times: \'0 3 * * *\'
pm reload	--watch	.	.	.	restart it when files change: here, or in DIR
pm reload	--ignore-watch	.	GLOB	.	with --watch: but not these
pm reload	--on	.	EVENT=CMD	.	run CMD at crash, gave-up, aborted, ready ...
pm reload	--health	.	URL	.	of a cluster: ready once this is answered well
pm reload	--health-cmd	.	CMD	.	as --health: once CMD exits with 0
pm reload	--max-lag	.	TIME	.	of a cluster: replace who lets clients wait
pm reload	--watch-delay	.	MS	.	with --watch: so long after the last
pm reload	--silent	-s	.	.	no table behind it
pm reload	--no-color	.	.	.	no colours
pm reload	--help	-h	.	.	this text
pm	delete	.	.	.	Ends apps and forgets them; their logs go, too.
pm delete	BEHIND	.	.	TARGET	Ends apps and forgets them; their logs go, too.
pm del	BEHIND	.	delete	TARGET	Ends apps and forgets them; their logs go, too.
pm delete	--only	.	A,B	.	of a config file: these apps
pm delete	--env	.	NAME	.	of a config file: env_NAME over env
pm delete	--silent	-s	.	.	no table behind it
pm delete	--no-color	.	.	.	no colours
pm delete	--help	-h	.	.	this text
pm	scale	.	.	.	Gives an app in cluster mode another number of workers.
pm scale	BEHIND	.	.	APP	Gives an app in cluster mode another number of workers.
pm scale	--only	.	A,B	.	of a config file: these apps
pm scale	--env	.	NAME	.	of a config file: env_NAME over env
pm scale	--silent	-s	.	.	no table behind it
pm scale	--no-color	.	.	.	no colours
pm scale	--help	-h	.	.	this text
pm	list	.	.	.	Shows what runs, and what could.
pm list	BEHIND	.	.	TARGET	Shows what runs, and what could.
pm ls	BEHIND	.	list	TARGET	Shows what runs, and what could.
pm l	BEHIND	.	list	TARGET	Shows what runs, and what could.
pm ps	BEHIND	.	list	TARGET	Shows what runs, and what could.
pm status	BEHIND	.	list	TARGET	Shows what runs, and what could.
pm list	--sort	.	FIELD	.	by name, id, cpu, memory ...; memory:desc
pm list	--silent	-s	.	.	no table behind it
pm list	--no-color	.	.	.	no colours
pm list	--help	-h	.	.	this text
pm	describe	.	.	.	Says all that is known of apps.
pm describe	BEHIND	.	.	TARGET	Says all that is known of apps.
pm show	BEHIND	.	describe	TARGET	Says all that is known of apps.
pm desc	BEHIND	.	describe	TARGET	Says all that is known of apps.
pm info	BEHIND	.	describe	TARGET	Says all that is known of apps.
pm describe	--only	.	A,B	.	of a config file: these apps
pm describe	--env	.	NAME	.	of a config file: env_NAME over env
pm describe	--silent	-s	.	.	no table behind it
pm describe	--no-color	.	.	.	no colours
pm describe	--help	-h	.	.	this text
pm	env	.	.	.	Prints the variables that an app\'s process was started with.
pm env	BEHIND	.	.	TARGET	Prints the variables that an app\'s process was started with.
pm env	--only	.	A,B	.	of a config file: these apps
pm env	--env	.	NAME	.	of a config file: env_NAME over env
pm env	--silent	-s	.	.	no table behind it
pm env	--no-color	.	.	.	no colours
pm env	--help	-h	.	.	this text
pm	id	.	.	.	Prints the ids of apps.
pm id	BEHIND	.	.	TARGET	Prints the ids of apps.
pm id	--only	.	A,B	.	of a config file: these apps
pm id	--env	.	NAME	.	of a config file: env_NAME over env
pm id	--silent	-s	.	.	no table behind it
pm id	--no-color	.	.	.	no colours
pm id	--help	-h	.	.	this text
pm	pid	.	.	.	Prints the processes of workers.
pm pid	BEHIND	.	.	TARGET	Prints the processes of workers.
pm pid	--only	.	A,B	.	of a config file: these apps
pm pid	--env	.	NAME	.	of a config file: env_NAME over env
pm pid	--silent	-s	.	.	no table behind it
pm pid	--no-color	.	.	.	no colours
pm pid	--help	-h	.	.	this text
pm	jlist	.	.	.	Prints the list as PM2\'s JSON.
pm jlist	BEHIND	.	.	TARGET	Prints the list as PM2\'s JSON.
pm jlist	--env	.	.	.	the environment, too (it may hold passwords)
pm jlist	--silent	-s	.	.	no table behind it
pm jlist	--no-color	.	.	.	no colours
pm jlist	--help	-h	.	.	this text
pm	prettylist	.	.	.	Prints the same for people.
pm prettylist	BEHIND	.	.	TARGET	Prints the same for people.
pm prettylist	--env	.	.	.	the environment, too (it may hold passwords)
pm prettylist	--silent	-s	.	.	no table behind it
pm prettylist	--no-color	.	.	.	no colours
pm prettylist	--help	-h	.	.	this text
pm	monit	.	.	.	The list, live, with the log of one app; q ends it.
pm monit	BEHIND	.	.	TARGET	The list, live, with the log of one app; q ends it.
pm dashboard	BEHIND	.	monit	TARGET	The list, live, with the log of one app; q ends it.
pm dash	BEHIND	.	monit	TARGET	The list, live, with the log of one app; q ends it.
pm monit	--silent	-s	.	.	no table behind it
pm monit	--no-color	.	.	.	no colours
pm monit	--help	-h	.	.	this text
pm	logs	.	.	.	Shows the logs of apps, and what comes.
pm logs	BEHIND	.	.	TARGET	Shows the logs of apps, and what comes.
pm log	BEHIND	.	logs	TARGET	Shows the logs of apps, and what comes.
pm logs	--lines	.	N	.	so many of what is there [15]
pm logs	--err	.	.	.	stderr alone
pm logs	--out	.	.	.	stdout alone
pm logs	--json	.	.	.	objects
pm logs	--format	.	.	.	key=value
pm logs	--raw	.	.	.	the lines alone
pm logs	--nostream	.	.	.	what is there, and that is all
pm logs	--wait	.	.	.	also where there is no app yet
pm logs	--highlight	.	TEXT	.	on a terminal: TEXT inverted
pm logs	--timestamp	.	.	.	nothing: a time is there with start --time
pm logs	--silent	-s	.	.	no table behind it
pm logs	--no-color	.	.	.	no colours
pm logs	--help	-h	.	.	this text
pm	flush	.	.	.	Empties the logs of apps, or of all.
pm flush	BEHIND	.	.	TARGET	Empties the logs of apps, or of all.
pm flush	--only	.	A,B	.	of a config file: these apps
pm flush	--env	.	NAME	.	of a config file: env_NAME over env
pm flush	--silent	-s	.	.	no table behind it
pm flush	--no-color	.	.	.	no colours
pm flush	--help	-h	.	.	this text
pm	reset	.	.	.	Has the restarts counted from 0 on.
pm reset	BEHIND	.	.	TARGET	Has the restarts counted from 0 on.
pm reset	--only	.	A,B	.	of a config file: these apps
pm reset	--env	.	NAME	.	of a config file: env_NAME over env
pm reset	--silent	-s	.	.	no table behind it
pm reset	--no-color	.	.	.	no colours
pm reset	--help	-h	.	.	this text
pm	reloadLogs	.	.	.	Says why there is nothing to do.
pm reloadLogs	BEHIND	.	.	.	Says why there is nothing to do.
pm reloadLogs	--silent	-s	.	.	no table behind it
pm reloadLogs	--no-color	.	.	.	no colours
pm reloadLogs	--help	-h	.	.	this text
pm	sendSignal	.	.	.	Sends the workers of apps a signal.
pm sendSignal	BEHIND	.	.	SIG|TARGET	Sends the workers of apps a signal.
pm sendSignal	--only	.	A,B	.	of a config file: these apps
pm sendSignal	--env	.	NAME	.	of a config file: env_NAME over env
pm sendSignal	--silent	-s	.	.	no table behind it
pm sendSignal	--no-color	.	.	.	no colours
pm sendSignal	--help	-h	.	.	this text
pm	send	.	.	.	Writes a line to what an app reads, in fork mode.
pm send	BEHIND	.	.	APP	Writes a line to what an app reads, in fork mode.
pm	attach	.	.	.	Shows what an app writes, sends it what is typed, in fork mode; Ctrl-C leaves.
pm attach	BEHIND	.	.	APP	Shows what an app writes, sends it what is typed, in fork mode; Ctrl-C leaves.
pm attach	--silent	-s	.	.	no table behind it
pm attach	--no-color	.	.	.	no colours
pm attach	--help	-h	.	.	this text
pm	save	.	.	.	Keeps the list of apps, for resurrect.
pm save	BEHIND	.	.	.	Keeps the list of apps, for resurrect.
pm dump	BEHIND	.	save	.	Keeps the list of apps, for resurrect.
pm save	--force	-f	.	.	an empty list, too
pm save	--silent	-s	.	.	no table behind it
pm save	--no-color	.	.	.	no colours
pm save	--help	-h	.	.	this text
pm	resurrect	.	.	.	Brings back the apps that were saved: what ran is started.
pm resurrect	BEHIND	.	.	.	Brings back the apps that were saved: what ran is started.
pm resurrect	--silent	-s	.	.	no table behind it
pm resurrect	--no-color	.	.	.	no colours
pm resurrect	--help	-h	.	.	this text
pm	cleardump	.	.	.	Saves that there is no app.
pm cleardump	BEHIND	.	.	.	Saves that there is no app.
pm cleardump	--silent	-s	.	.	no table behind it
pm cleardump	--no-color	.	.	.	no colours
pm cleardump	--help	-h	.	.	this text
pm	kill	.	.	.	Ends all apps; they stay in the list.
pm kill	BEHIND	.	.	.	Ends all apps; they stay in the list.
pm kill	--silent	-s	.	.	no table behind it
pm kill	--no-color	.	.	.	no colours
pm kill	--help	-h	.	.	this text
pm	startup	.	.	.	Has a user\'s saved apps brought back at boot.
pm startup	BEHIND	.	.	systemd|openrc|runit|s6	Has a user\'s saved apps brought back at boot.
pm startup	--user	-u	USER	.	whose apps [who runs this, or sudo]
pm startup	--hp	.	HOME	.	the home of that user
pm startup	--service-name	.	NAME	.	of the unit [pm-USER]
pm startup	--wait-ip	.	.	.	at boot, after the network is up
pm startup	--print	.	.	.	write nothing, print what would be written
pm startup	--silent	-s	.	.	no table behind it
pm startup	--no-color	.	.	.	no colours
pm startup	--help	-h	.	.	this text
pm	unstartup	.	.	.	Takes that back.
pm unstartup	BEHIND	.	.	systemd|openrc|runit|s6	Takes that back.
pm unstartup	--user	-u	USER	.	whose apps [who runs this, or sudo]
pm unstartup	--hp	.	HOME	.	the home of that user
pm unstartup	--service-name	.	NAME	.	of the unit [pm-USER]
pm unstartup	--wait-ip	.	.	.	at boot, after the network is up
pm unstartup	--print	.	.	.	write nothing, print what would be written
pm unstartup	--silent	-s	.	.	no table behind it
pm unstartup	--no-color	.	.	.	no colours
pm unstartup	--help	-h	.	.	this text
pm	logrotate	.	.	.	Has logrotate rotate a user\'s logs.
pm logrotate	BEHIND	.	.	.	Has logrotate rotate a user\'s logs.
pm logrotate	--user	-u	USER	.	whose apps [who runs this, or sudo]
pm logrotate	--hp	.	HOME	.	the home of that user
pm logrotate	--service-name	.	NAME	.	of the unit [pm-USER]
pm logrotate	--wait-ip	.	.	.	at boot, after the network is up
pm logrotate	--print	.	.	.	write nothing, print what would be written
pm logrotate	--silent	-s	.	.	no table behind it
pm logrotate	--no-color	.	.	.	no colours
pm logrotate	--help	-h	.	.	this text
pm	init	.	.	.	Writes an ecosystem.config.js to begin with.
pm init	BEHIND	.	.	simple	Writes an ecosystem.config.js to begin with.
pm ecosystem	BEHIND	.	init	simple	Writes an ecosystem.config.js to begin with.
pm init	--silent	-s	.	.	no table behind it
pm init	--no-color	.	.	.	no colours
pm init	--help	-h	.	.	this text
pm	ping	.	.	.	Answers; no daemon is there to be asked.
pm ping	BEHIND	.	.	.	Answers; no daemon is there to be asked.
pm ping	--silent	-s	.	.	no table behind it
pm ping	--no-color	.	.	.	no colours
pm ping	--help	-h	.	.	this text
pm	update	.	.	.	Says why there is nothing to do.
pm update	BEHIND	.	.	.	Says why there is nothing to do.
pm updatePM2	BEHIND	.	update	.	Says why there is nothing to do.
pm update	--silent	-s	.	.	no table behind it
pm update	--no-color	.	.	.	no colours
pm update	--help	-h	.	.	this text
pm	version	.	.	.	Prints the version.
pm version	BEHIND	.	.	.	Prints the version.
pm version	--silent	-s	.	.	no table behind it
pm version	--no-color	.	.	.	no colours
pm version	--help	-h	.	.	this text
pm	help	.	.	.	Prints what all verbs are, or one.
pm help	BEHIND	.	.	start|runtime|stop|restart|reload|delete|scale|list|describe|env|id|pid|jlist|prettylist|monit|logs|flush|reset|reloadLogs|sendSignal|send|attach|save|resurrect|cleardump|kill|startup|unstartup|logrotate|init|ping|update|version|help	Prints what all verbs are, or one.
pm help	--silent	-s	.	.	no table behind it
pm help	--no-color	.	.	.	no colours
pm help	--help	-h	.	.	this text
# end of the table
'
set -g __pm_rows (string split \n -- $__pm_table)

# The line of the option (or verb) $argv[2] of $argv[1]: its fields, one a line.
function __pm_find
    for row in $__pm_rows
        set -l field (string split \t -- $row)
        if test "$field[1]" = "$argv[1]"; and contains -- "$argv[2]" $field[2..3]
            string split \t -- $row
            return 0
        end
    end
    return 1
end

# The values: of `always|never|FILE` the words in small letters, and what the others stand for.
function __pm_values
    for form in (string split '|' -- $argv[1])
        switch $form
            case FILE
                __fish_complete_path (commandline -ct)
            case DIR
                __fish_complete_directories (commandline -ct) ''
            case SIG
                kill -l | string split -n ' ' | string match -r '^[A-Z].*' | string replace -r '^SIG' ''
            case APP
                pm-stat --match all 2>/dev/null
            case TARGET
                echo all
                pm-stat --match all 2>/dev/null
            case CHAIN
                __fish_complete_command
            case -
            case '*'
                string match -qr -- '[A-Z]' $form; or echo $form
        end
    end
end

# All that fits where the cursor is.
function __pm_offers
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l key (string replace -r '.*/' '' -- $words[1])
    set -l rest ''
    set -l wanted ''
    set -l found (__pm_find $key BEHIND); and set rest $found[5]
    for word in $words[2..]
        set -l base (string replace -r '.*/' '' -- $word)
        if test -n "$wanted"
            set wanted ''
        else if string match -q -- '-*' $word
            set found (__pm_find $key $word); or continue
            test $found[4] = .; or set wanted $found[4]
            test $found[5] = .; or set rest $found[5]
        else if test "$rest" = CHAIN; and set found (__pm_find $base BEHIND)
            set key $base
            set rest $found[5]
        else if test $key = pm; and set found (__pm_find "pm $word" BEHIND)
            # Another name of a verb has the verb in the place of its values.
            test $found[4] = .; or set word $found[4]
            set key "pm $word"
            set rest $found[5]
        else if test "$rest" = CHAIN
            # Behind the program the words are the program's.
            __fish_complete_path $current
            return
        end
    end
    if test -n "$wanted"
        __pm_values $wanted
    else if string match -q -- '--*=*' $current
        set -l option (string split -m1 = -- $current)[1]
        set found (__pm_find $key $option); or return
        for value in (__pm_values $found[4])
            echo $option=$value
        end
    else if string match -q -- '-*' $current; or test "$key" = pm
        for row in $__pm_rows
            set -l field (string split \t -- $row)
            test "$field[1]" = "$key"; and test $field[2] != BEHIND; or continue
            string match -q -- '-*' "$current"; or not string match -q -- '-*' $field[2]; and printf '%s\t%s\n' $field[2] $field[6]
        end
    else
        __pm_values $rest
    end
end

for command in pm pm-fork pm-log pm-restart pm-cluster pm-stat
    complete -c $command -f -a '(__pm_offers)'
end
