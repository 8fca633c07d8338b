// Likeperson Sync on Azure Container Apps, with PostgreSQL and Key Vault. docs/operate/install-azure.md tells the way.
@description('Short name that all resources begin with.')
param name string = 'likeperson'
param location string = resourceGroup().location
@description('The image, such as registry.azurecr.io/likeperson-sync:1.0.0.')
param image string
@secure()
@description('Password of the administrator of the database.')
param databasePassword string
@secure()
@description('The content of LIKEPERSON_SOURCES, as JSON.')
param sources string
@description('Issuer of the accepted tokens, such as https://login.microsoftonline.com/TENANT/v2.0.')
param authIssuer string
param authAudience string
@description('Portal id of the national body.')
param nationalBody string

var databaseUrl = 'postgresql+asyncpg://likeperson:${uriComponent(databasePassword)}@${database.properties.fullyQualifiedDomainName}/likeperson?sslmode=verify-full'

resource logs 'Microsoft.OperationalInsights/workspaces@2023-09-01' = {
  name: '${name}-logs'
  location: location
  properties: { sku: { name: 'PerGB2018' }, retentionInDays: 30 }
}

resource database 'Microsoft.DBforPostgreSQL/flexibleServers@2024-08-01' = {
  name: '${name}-${uniqueString(resourceGroup().id)}'
  location: location
  sku: { name: 'Standard_B2s', tier: 'Burstable' }
  properties: {
    version: '16'
    administratorLogin: 'likeperson'
    administratorLoginPassword: databasePassword
    storage: { storageSizeGB: 32, autoGrow: 'Enabled' }
    backup: { backupRetentionDays: 14 }
  }

  resource likeperson 'databases' = { name: 'likeperson' }

  // Container Apps without a network of their own call from Azure's addresses.
  resource azure 'firewallRules' = {
    name: 'azure'
    properties: { startIpAddress: '0.0.0.0', endIpAddress: '0.0.0.0' }
  }
}

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = {
  name: '${name}-identity'
  location: location
}

resource vault 'Microsoft.KeyVault/vaults@2023-07-01' = {
  name: '${name}${uniqueString(resourceGroup().id)}'
  location: location
  properties: {
    sku: { family: 'A', name: 'standard' }
    tenantId: subscription().tenantId
    enableRbacAuthorization: true
    enablePurgeProtection: true
  }

  resource url 'secrets' = { name: 'database-url', properties: { value: databaseUrl } }
  resource senders 'secrets' = { name: 'sources', properties: { value: sources } }
}

resource readsSecrets 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(vault.id, identity.id, 'secrets')
  scope: vault
  properties: {
    // Key Vault Secrets User
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '4633458b-17de-408a-b874-0445c86b69e6')
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
  }
}

resource environment 'Microsoft.App/managedEnvironments@2024-03-01' = {
  name: '${name}-environment'
  location: location
  properties: {
    appLogsConfiguration: {
      destination: 'log-analytics'
      logAnalyticsConfiguration: { customerId: logs.properties.customerId, sharedKey: logs.listKeys().primarySharedKey }
    }
  }
}

var secrets = [
  { name: 'database-url', keyVaultUrl: vault::url.properties.secretUri, identity: identity.id }
  { name: 'sources', keyVaultUrl: vault::senders.properties.secretUri, identity: identity.id }
]
var settings = [
  { name: 'LIKEPERSON_DATABASE_URL', secretRef: 'database-url' }
  { name: 'LIKEPERSON_SOURCES', secretRef: 'sources' }
  { name: 'LIKEPERSON_AUTH_ISSUER', value: authIssuer }
  { name: 'LIKEPERSON_AUTH_AUDIENCE', value: authAudience }
  { name: 'LIKEPERSON_NATIONAL_BODY', value: nationalBody }
  // The ingress of Container Apps calls from within the environment.
  { name: 'LIKEPERSON_TRUSTED_PROXIES', value: '100.100.0.0/16' }
]

resource migrate 'Microsoft.App/jobs@2024-03-01' = {
  name: '${name}-migrate'
  location: location
  identity: { type: 'UserAssigned', userAssignedIdentities: { '${identity.id}': {} } }
  dependsOn: [ readsSecrets ]
  properties: {
    environmentId: environment.id
    configuration: { triggerType: 'Manual', replicaTimeout: 1800, secrets: secrets, manualTriggerConfig: {} }
    template: {
      containers: [ { name: 'migrate', image: image, args: [ 'migrate' ], env: settings, resources: { cpu: json('0.5'), memory: '1Gi' } } ]
    }
  }
}

resource app 'Microsoft.App/containerApps@2024-03-01' = {
  name: '${name}-sync'
  location: location
  identity: { type: 'UserAssigned', userAssignedIdentities: { '${identity.id}': {} } }
  dependsOn: [ readsSecrets ]
  properties: {
    managedEnvironmentId: environment.id
    configuration: {
      secrets: secrets
      ingress: { external: true, targetPort: 8000, transport: 'http', allowInsecure: false }
    }
    template: {
      terminationGracePeriodSeconds: 30
      scale: { minReplicas: 2, maxReplicas: 4 }
      containers: [
        {
          name: 'sync'
          image: image
          env: settings
          resources: { cpu: json('1.0'), memory: '2Gi' }
          probes: [
            { type: 'Liveness', httpGet: { path: '/healthz', port: 8000 } }
            { type: 'Readiness', httpGet: { path: '/readyz', port: 8000 }, periodSeconds: 5 }
          ]
        }
      ]
    }
  }
}

output address string = 'https://${app.properties.configuration.ingress.fqdn}'
