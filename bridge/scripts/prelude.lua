-- Stands before every script.

-- Say whether an error means that Redis takes no writes now; then nothing is wrong with the record. Its text, else nil.
local function no_writes(why)
  local text = type(why) == 'table' and why.err or tostring(why)
  for _, refusal in ipairs({'OOM', 'READONLY', 'MISCONF', 'NOREPLICAS'}) do
    if string.find(text, refusal, 1, true) then
      return text
    end
  end
end
