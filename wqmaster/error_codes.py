"""The codes of errors, warnings and findings, for programs that call wqmaster.

Later versions can reword messages, but they keep the codes. docs/error-codes.md states what to do
about each code.
"""

from enum import StrEnum


class ErrorCode(StrEnum):
    """A short, stable name for what went wrong."""

    # --- the command ---
    USAGE = "usage"  # the command line is wrong
    INTERRUPTED = "interrupted"  # stopped by Ctrl-C
    COMMAND_FAILED = "command-failed"  # no other code applies
    COMMAND_INVALID = "command-invalid"  # a master does not understand a command
    COMMAND_UNANSWERED = "command-unanswered"  # a running master does not answer in time
    SYSTEM_CALL_FAILED = "system-call-failed"  # the operating system refused something
    DISK_FULL = "disk-full"  # no space, or no quota, is left

    # --- the campaign file and the files that it names ---
    CAMPAIGN_NOT_FOUND = "campaign-not-found"  # there is no such campaign file
    CAMPAIGN_UNREADABLE = "campaign-unreadable"  # the file exists but cannot be read as text
    CAMPAIGN_NOT_YAML = "campaign-not-yaml"  # the file is not a YAML mapping
    CAMPAIGN_INVALID = "campaign-invalid"  # a key or value of the file is wrong
    VARIABLE_NOT_SET = "variable-not-set"  # an environment variable in the file has no value
    RELOAD_REFUSED = "reload-refused"  # a change of the file cannot be made in a running master
    QUERY_REFUSED = "query-refused"  # the database does not understand a query
    FILE_NOT_COPIED = "file-not-copied"  # a file that the campaign names cannot be copied
    FILE_CHANGED = "file-changed"  # a file that the campaign names changed while it was in use
    MODULE_NOT_IMPORTED = "module-not-imported"  # a Python module of the user raises an error
    PROGRAM_UNKNOWN = "program-unknown"  # no program of this name is known
    PARSER_UNKNOWN = "parser-unknown"  # the program has no parser of this name
    REGISTRATION_INVALID = "registration-invalid"  # a package does not provide a valid program
    DATABASE_NOT_PRIVATE = "database-not-private"  # the campaign names its own database
    TASK_FUNCTION_FAILED = "task-function-failed"  # the task function raises an error
    RECEPTOR_MAPS_FAILED = "receptor-maps-failed"  # AutoDock Vina cannot compute the maps
    STEP_DOUBTFUL = "step-doubtful"  # a step probably does not produce what is asked of it
    KEYS_IGNORED = "keys-ignored"  # keys of the campaign file have no effect with its engine

    # --- documents and results ---
    NOTHING_MATCHES = "nothing-matches"  # the query selects no document
    COLLECTION_EMPTY = "collection-empty"  # the collection holds no document
    STEP_NOT_SELECTED = "step-not-selected"  # the query omits documents that lack a step
    DOCUMENT_NOT_FOUND = "document-not-found"  # there is no document with this id
    RESULT_NOT_FOUND = "result-not-found"  # the document has no result
    DOCUMENT_UNUSABLE = "document-unusable"  # a document holds no molecule that can be computed
    FAILURE_NOT_FOUND = "failure-not-found"  # neither a failure class nor a failed document
    ARCHIVE_NOT_KEPT = "archive-not-kept"  # no archive of this document is kept
    RECIPE_CHANGED = "recipe-changed"  # results under the same key have another recipe
    RESULTS_STALE = "results-stale"  # documents were changed after their results were computed
    RESULTS_UNCHECKED = "results-unchecked"  # comparing all results takes too long
    RESULTS_UNDECLARED = "results-undeclared"  # results do not state how they were computed
    FUNCTION_EDITED = "function-edited"  # the user's task function was edited since the last run
    RESULTS_OUTDATED = "results-outdated"  # an older version of the parsers read some results
    RESULTS_INCOMPLETE = "results-incomplete"  # results lack the value of a parser
    LABELS_MISSING = "labels-missing"  # the campaign lacks a value or geometry to export
    LABEL_NOISE = "label-noise"  # an audit found more noise than the campaign accepts
    AUDIT_FAILED = "audit-failed"  # no structure of an audit's sample could be compared
    AUDIT_APART = "audit-apart"  # an audit before a run needs a run of the campaign alone
    RECIPES_MIXED = "recipes-mixed"  # the results to export have several recipes
    OUTPUT_NOT_PARSED = "output-not-parsed"  # a section that a parser needs is missing
    OUTPUT_TOO_LARGE = "output-too-large"  # an output is larger than `archive: {max_size: ...}`
    ARCHIVE_BROKEN = "archive-broken"  # a returned archive is truncated or was altered

    # --- files to import or to parse ---
    STRUCTURES_NOT_FOUND = "structures-not-found"  # there is no such structure file
    UNREADABLE_STRUCTURE = "unreadable-structure"  # a structure file cannot be read
    FORMAT_UNKNOWN = "format-unknown"  # the format is unknown or cannot be imported
    LIBRARY_MISSING = "library-missing"  # a Python library for this format is not installed
    RECORDS_REFUSED = "records-refused"  # records of a structure file were refused
    IMPORT_COLLIDED = "import-collided"  # another process inserted the same ids meanwhile
    FILE_EXISTS = "file-exists"  # a file that would be written exists already
    DATASET_DIFFERS = "dataset-differs"  # an exported file does not say what the database says
    DATASET_UNREADABLE = "dataset-unreadable"  # the reader cannot read an exported file
    OUTPUT_UNREADABLE = "output-unreadable"  # an output file is missing or cannot be read
    OUTPUT_NOT_RECOGNIZED = "output-not-recognized"  # the file is not an output of this program
    ADOPTION_UNCLEAR = "adoption-unclear"  # it is not clear which step the outputs belong to

    # --- the database ---
    DATABASE_UNREACHABLE = "database-unreachable"  # the server does not answer
    DATABASE_ADDRESS_INVALID = "database-address-invalid"  # `uri` is not a valid MongoDB URI
    DATABASE_NOT_CREATED = "database-not-created"  # the private database was never started
    DATABASE_REFUSES = "database-refuses"  # the server refuses an operation
    DATABASE_FAILED = "database-failed"  # the server failed while it was in use
    DATABASE_TOO_OLD = "database-too-old"  # the server's version is not supported
    DATABASE_STOPPED = "database-stopped"  # the private server is not running
    DATABASE_ELSEWHERE = "database-elsewhere"  # the private server runs on another machine
    DATABASE_NOT_STARTED = "database-not-started"  # the private server does not start
    MONGOD_MISSING = "mongod-missing"  # the program mongod is not installed

    # --- folders, locks and this machine ---
    FOLDER_UNUSABLE = "folder-unusable"  # the campaign's folder cannot be written or locked
    FOLDER_NOT_PRIVATE = "folder-not-private"  # a private folder belongs to another user
    FILESYSTEM_UNSUITABLE = "filesystem-unsuitable"  # locks are unreliable on this file system
    SPACE_LOW = "space-low"  # little space or few inodes are left
    CLOCK_DIFFERS = "clock-differs"  # this machine's clock differs from the database's
    CAMPAIGN_RUNNING = "campaign-running"  # another master is running this campaign
    CAMPAIGN_TAKEN_OVER = "campaign-taken-over"  # another master took the campaign from this one
    RUN_HELD = "run-held"  # a run sends no jobs, and `--exit-on-trouble` ended it
    COLLECTORS_FAILED = "collectors-failed"  # the collectors cannot be started, or cannot commit
    PYTHON_TOO_OLD = "python-too-old"  # this Python is not supported
    PACKAGE_MISSING = "package-missing"  # a Python package is missing or too old
    LIMIT_TOO_LOW = "limit-too-low"  # the limit on open files or processes is too low
    CORES_TOO_FEW = "cores-too-few"  # a job uses more cores than this machine has

    # --- engines, workers and programs ---
    SERVICE_MISSING = "service-missing"  # a service that the campaign needs is missing
    SERVICE_DIFFERS = "service-differs"  # a campaign asks for other workers than its service
    ENGINE_NOT_INSTALLED = "engine-not-installed"  # the engine, or a part of it, is missing
    ENGINE_NOT_STARTED = "engine-not-started"  # the engine does not start
    MASTER_NOT_RUNNING = "master-not-running"  # the campaign is not running
    MASTER_TROUBLED = "master-troubled"  # a running master reports trouble
    CAMPAIGN_HELD = "campaign-held"  # most jobs fail in the same way, so no more are sent
    TASKS_SLOW = "tasks-slow"  # tasks run much longer than expected
    VERSIONS_DIFFER = "versions-differ"  # programs of different ndcctools versions are mixed
    PORT_IN_USE = "port-in-use"  # another program listens on the port
    PORT_UNUSABLE = "port-unusable"  # this process may not listen on the port
    CATALOG_MISSING = "catalog-missing"  # a project name needs a catalog, and none is usable
    NAME_TAKEN = "name-taken"  # another master has the same project name
    ADDRESS_UNREACHABLE = "address-unreachable"  # perhaps workers cannot reach this machine
    SECRET_EXPOSED = "secret-exposed"  # noqa: S105  # other users can read the password or key file
    SECRET_LEFT = "secret-left"  # noqa: S105  # a copy of the password may be left elsewhere
    CERTIFICATE_UNUSABLE = "certificate-unusable"  # the TLS certificate or key cannot be used
    PROGRAM_MISSING = "program-missing"  # a program that the campaign needs is not installed
    PROGRAM_UNSUITABLE = "program-unsuitable"  # a program of the right name is a different program
    GLIBC_TOO_NEW = "glibc-too-new"  # a program needs a newer C library than some workers have
    WORKER_UNUSABLE = "worker-unusable"  # the worker program cannot be sent or started
    WORKERS_REFUSED = "workers-refused"  # the master turned workers away
    WORKERS_SHARED = "workers-shared"  # the workers are those of another campaign
    HOSTS_FAILED = "hosts-failed"  # hosts failed the checks before a worker starts

    # --- factories and batch systems ---
    FACTORY_RUNNING = "factory-running"  # a factory is already running in this folder
    FACTORY_OF_MASTER = "factory-of-master"  # the factory ends with its master
    FACTORY_FAILED = "factory-failed"  # the factory did not start, or has ended
    WORKERS_LEFT = "workers-left"  # a factory's jobs cannot be removed from the queue
    WORKERS_HELD = "workers-held"  # the batch system holds workers
    BATCH_SYSTEM_FAILED = "batch-system-failed"  # the batch system is missing or does not respond
    BATCH_JOB_REFUSED = "batch-job-refused"  # the batch system refuses a worker's job
    BATCH_USER_UNSUITABLE = "batch-user-unsuitable"  # this user cannot submit jobs
    BATCH_DEMANDS = "batch-demands"  # the batch system requires more than `workers:` states
    ACCESS_POINT_POLICY = "access-point-policy"  # a master or factory on an OSG access point
    OSPOOL_RULE = "ospool-rule"  # the OSPool's rules do not admit such workers

    # --- packed software ---
    OSDF_NAME_REUSED = "osdf-name-reused"  # a name on OSDF stands for changed content
    SOFTWARE_NOT_PACKED = "software-not-packed"  # the software cannot be packed
    SOFTWARE_PROOF_FAILED = "software-proof-failed"  # the packed program does not run

    # --- wqmaster doctor ---
    CHECK_INCOMPLETE = "check-incomplete"  # a check failed or did not finish in time
