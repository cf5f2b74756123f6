// Posts what has happened to an app to a webhook (Slack, Mattermost, Discord with /slack behind its URL ...):
//   pm start app.js --on crash='node webhook.js' --on gave-up='node webhook.js'      with WEBHOOK_URL in the environment
const { PM_APP, PM_EVENT, PM_REASON, PM_LAST_LINES, WEBHOOK_URL } = process.env
const last = PM_LAST_LINES ? `\n\`\`\`\n${PM_LAST_LINES.slice(-2000)}\n\`\`\`` : ''
const body = JSON.stringify({ text: `${PM_APP} on ${require('os').hostname()}: ${PM_EVENT}: ${PM_REASON}${last}` })
const headers = { 'content-type': 'application/json' }
// A hook that fails is a line in the app's log.
fetch(WEBHOOK_URL, { method: 'POST', headers, body, signal: AbortSignal.timeout(20000) }).then(answer => {
  if (!answer.ok) throw new Error(`the webhook answers ${answer.status}`)
})
