// Settings of Node-RED for this example: who reaches it, and which broker it reads.
// Node-RED's editor asks for no password and can run programs, so it listens on loopback only.

const broker = process.env.EDGE_POSE_MQTT_BROKER || '127.0.0.1'
process.env.EDGE_POSE_MQTT_BROKER = broker.includes('://') ? broker : `mqtt://${broker}`

module.exports = {
    uiHost: '127.0.0.1',
    uiPort: process.env.PORT || 1880,
    flowFile: 'flows.json',
    flowFilePretty: true,
    externalModules: { palette: { allowInstall: false }, modules: { allowInstall: false } },
    telemetry: { enabled: false, updateNotification: false },
    logging: { console: { level: 'info', metrics: false, audit: false } }
}
