-- How Argo CD shows a Shim or a NodeShim. Deletion it shows by itself.
local health = { status = "Progressing", message = "the operator has not looked at it yet" }
local status = obj.status
if status == nil or status.conditions == nil or status.observedGeneration ~= obj.metadata.generation then
  return health
end
local conditions = {}
for _, condition in ipairs(status.conditions) do
  conditions[condition.type] = condition
end
-- The first that is true decides.
local order = {
  { "Stalled", "Degraded" },
  { "Reconciling", "Progressing" },
  { "Degraded", "Degraded" },
  { "Ready", "Healthy" },
}
for _, rule in ipairs(order) do
  local condition = conditions[rule[1]]
  if condition ~= nil and condition.status == "True" then
    health.status = rule[2]
    health.message = condition.reason .. ": " .. condition.message
    return health
  end
end
return health
