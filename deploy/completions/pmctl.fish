# Completion of pmctl for fish. What may stand where is known by pmctl itself: `pmctl __complete -- WORDS`.

function __pmctl_complete
    set -l words (commandline --tokenize --cut-at-cursor --current-process)
    set -l current (commandline --current-token --cut-at-cursor)
    set -l program pmctl
    # A pmctl given by its path answers for itself.
    if string match --quiet '*/*' -- $words[1]
        set program (string replace --regex '^~' $HOME -- $words[1])
    end
    set -l lead (string match --regex -- '^--[^=]*=' $current)
    set -l file (string replace -- "$lead" '' $current)

    for line in (command $program __complete -- $words[2..-1] $current 2>/dev/null)
        switch $line
            case :files
                __fish_complete_path $file | string replace --regex '^' -- "$lead"
            case :configs
                __fish_complete_path $file |
                    string match --regex -- '^[^\t]*(?:/|\.json|\.ya?ml|\.config\.[cm]?js)(?:\t.*)?$'
            case :directories
                __fish_complete_directories $file | string replace --regex '^' -- "$lead"
            case '*'
                echo $line
        end
    end
end

complete --command pmctl --no-files --keep-order --arguments '(__pmctl_complete)'
