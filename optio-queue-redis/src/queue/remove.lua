-- Takes a waiting entry out. ARGV: task.
if take(ARGV[1]) then
  changed = true
end
return finish(1)
