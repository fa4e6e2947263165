# Count the words of the job's input files, the most frequent first.
# It finds its folders in the environment, so it runs in a container and as a plain process alike.
cat "$JOB_INPUTS"/*.txt | tr -cs 'A-Za-z' '\n' | tr 'A-Z' 'a-z' | grep . |
  sort | uniq -c | sort -k1,1nr -k2 | head -n 8 >"$JOB_OUTPUTS/words.txt"
echo "the most frequent words:"
cat "$JOB_OUTPUTS/words.txt"
